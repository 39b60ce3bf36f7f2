package names

import "strings"

// adjectives and nouns are kind or neutral words of lower case letters: each pair
// must read well.
func adjectives() []string {
	return strings.Fields(`
		able agile airy alert amber ample apt balmy blithe bold bonny brave breezy bright
		brisk bubbly calm candid careful cheery chipper civil clear clever cordial cosy
		crisp curious dapper daring dashing deft dewy diligent eager early earnest easy
		elated fair faithful fancy fearless festive fine fleet fluent fond frank free fresh
		friendly frosty gallant gentle genuine giddy glad gleeful golden graceful grand
		grateful handy happy hardy hearty helpful honest hopeful humble ideal jaunty jolly
		jovial joyful keen kind leafy level lively lofty loyal lucid lucky lunar mellow
		merry mighty mild mindful minty modest mossy neat nifty nimble noble open patient
		peaceful peppy placid playful plucky polite proud prudent quick quiet radiant ready
		restful robust rosy rustic sandy sharp silver sincere smooth snappy snug solar solid
		spry starry steady stellar sturdy sunny supple swift tactful tender thankful tidy
		timely tranquil trusty upbeat vivid warm willing windy wise witty young zesty`)
}

func nouns() []string {
	return strings.Fields(`
		acorn alder almond alpaca anchor antelope apple apricot aspen atlas aurora badger
		bamboo barley basil bay beacon beaver beech birch bison bluebell brook buttercup
		canary canyon cedar cello cherry chestnut citrus clover cloud comet compass condor
		coral cove crane creek cricket crocus curlew cypress daisy dawn delta dolphin dove
		dune eagle echo egret elk elm ember falcon feather fern fiddle field finch fjord
		flute forest fox galaxy garden gazelle geyser ginger glacier glade goldfinch grove
		gull harbor hare harp hazel heather heron hill honey horizon ibex ibis iris island
		ivy jasmine jay juniper kayak kestrel kite kiwi koala lagoon lake lantern lark
		laurel lavender leaf lemon lemur lentil library lichen lilac lily linden llama lotus
		lynx magnolia magpie mango manatee maple marble marigold marmot marsh meadow melon
		meteor mint moon moose moss mountain narwhal nebula nectar nutmeg oak oasis olive
		opal orbit orchard orchid oriole osprey otter owl oyster palm panda papaya parsley
		peach pear pebble pelican penguin peony pepper petal petrel piano pine planet plover
		plum pond poplar poppy prairie puffin quail quartz quince rabbit rainbow raven reed
		reef ridge river robin rose rowan saffron sage salmon sapling seal sequoia shell
		shore sky sparrow spring spruce squirrel star starling stone stork stream summit
		swallow swan teal tern thicket thistle thrush thyme tide toucan trail trout tulip
		tundra turtle valley vanilla violet walnut walrus water wave willow wombat wren
		yarrow zebra zephyr`)
}
