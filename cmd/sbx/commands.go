package main

import "strings"

// constructors are all commands, in the order of the overview.
func constructors() []func() command {
	return []func() command{
		newRun, newCreate, newStart, newStop, newRestart, newKill, newRemove, newRename, newWait,
		newExec, newAttach, newLogs, newTop,
		newList, newInspect, newInfo, newVersion,
		newImport,
		newCompletion, newHelp, newComplete,
	}
}

// lookup finds a command by its name, or by the name it has in one of Docker's
// groups: "container ls" is ps.
func lookup(name string) (command, bool) {
	switch name {
	case "container ls", "container list", "container ps":
		name = "ps"
	case "container info", "container version", "container import", "container completion",
		"container help", "container __complete":
		return command{}, false
	case "image import":
		name = "import"
	}
	name = strings.TrimPrefix(name, "container ")
	for _, construct := range constructors() {
		if c := construct(); c.name == name {
			return c, true
		}
	}
	return command{}, false
}
