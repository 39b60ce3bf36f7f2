package vm

import (
	"strconv"
	"testing"
)

// busy does all the time what changes the store, each step over and over.
const busy = `cd $(mktemp -d); echo text >file
for step in "sbx commit job half" "sbx run --rm busybox sh -c 'echo >/a'" "sbx cp file job:/file" \
  "sbx import /opt/sbx-tests/busybox.tar again" "sbx volume create v; sbx volume rm v" \
  "sbx run -d --name other busybox sleep 1000; sbx rm -f other" "sbx network create n; sbx network rm n"; do
  (while :; do eval "$step"; done >/dev/null 2>&1 &)
done`

// What the user was told is there, and what was being done is there or is not, at
// whatever moment the machine loses its power.
func TestPowerCut(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "sbx system reset -f")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	m.OK("dev", "sbx network create lab; sbx volume create data")
	m.OK("dev", "sbx run -d --name job --network lab -v data:/data busybox sh -c 'echo one >/data/f; exec sleep 1000'")
	m.Eventually("one", "dev", "sbx exec job cat /data/f")
	for i := range 2 {
		n := strconv.Itoa(i)
		m.OK("dev", busy)
		// While the other one commits it, the sandbox is paused.
		m.OK("dev", "sleep "+n+"; for i in $(seq 100); do sbx exec job touch /made"+n+" 2>/dev/null && break; done; sbx commit job kept"+n+" >/dev/null; sbx create --name made"+n+" busybox true >/dev/null; sbx volume create v"+n)
		m.CutPower()

		m.Is("job exited\nmade"+n+" created", "dev", "sbx ps -a --filter name=job --filter name=made"+n+" --format '{{.Names}} {{.State}}' | sort")
		m.Is("/made"+n, "dev", "sbx run --rm kept"+n+" ls /made"+n)
		m.Is("data\nv"+n, "dev", "sbx volume ls -q --filter name=data --filter name=v"+n+" | sort")
		// Whatever else is listed is whole.
		m.OK("dev", "for i in $(sbx images -q | sort -u); do sbx run --rm $i sh -c 'test $(ls /bin | wc -l) -gt 100' || exit; done")
		m.OK("dev", "sbx rm -f other >/dev/null 2>&1; sbx start made"+n+" >/dev/null; sbx wait made"+n+" >/dev/null")
		m.Is("job", "dev", "sbx start job")
		m.Is("one", "dev", "sbx exec job cat /data/f")
	}
}
