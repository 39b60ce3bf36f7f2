package main

import (
	"slices"
	"strings"
)

// constructors are all commands, in the order of the overview. Inlined, the list
// would be made anew in the code of each caller.
//
//go:noinline
func constructors() []func() command {
	return []func() command{
		newRun, newCreate, newStart, newStop, newRestart, newKill, newPause, newUnpause, newRemove, newRename, newUpdate, newWait,
		newGenerateUnit, newGenerateQuadlet,
		newExec, newAttach, newLogs, newEvents, newTop, newCopy, newDiff, newExport,
		newList, newInspect, newStats, newPort, newInfo, newDoctor, newVersion,
		newPull, newPush, newLogin, newLogout, newSearch,
		newBuild, newImages, newRemoveImages, newTag, newInspectImages, newHistory, newSave, newLoad, newImport, newCommit,
		newCreateNetwork, newNetworks, newInspectNetworks, newConnect, newDisconnect, newRemoveNetworks, newPruneNetworks,
		newCreateVolume, newVolumes, newInspectVolumes, newRemoveVolumes, newPruneVolumes,
		newDiskUsage, newPruneSandboxes, newPruneImages, newPruneBuilds, newPruneAll, newReset, newUnshare, newEnable, newDisable,
		newCompletion, newHelp, newComplete,
	}
}

// groupNames are Docker's groups of commands: "container ls" is ps.
func groupNames() []string {
	return []string{"builder", "buildx", "container", "generate", "image", "network", "system", "volume"}
}

// members are the words that may follow the name of a group; nil if it is none.
func members(group string) []string {
	switch group {
	case "builder", "buildx":
		return strings.Fields("build prune")
	case "container":
		return strings.Fields("attach commit cp create diff exec export inspect kill list logs ls pause port prune ps " +
			"remove rename restart rm run start stats stop top unpause update wait")
	case "image":
		return strings.Fields("build history import inspect list load ls prune pull push remove rm save tag")
	case "generate":
		return strings.Fields("quadlet systemd")
	case "network":
		return strings.Fields("connect create disconnect inspect list ls prune remove rm")
	case "volume":
		return strings.Fields("create inspect list ls prune remove rm")
	case "system":
		return strings.Fields("df disable enable events info prune reset")
	}
	return nil
}

// ungrouped gives the name that a command of a group has among ours; empty if
// there is no such command.
func ungrouped(group, word string) string {
	if !slices.Contains(members(group), word) {
		return ""
	}
	switch name := group + " " + word; name {
	case "container ls", "container list":
		return "ps"
	case "container remove":
		return "rm"
	case "buildx prune":
		return "builder prune"
	case "image ls", "image list":
		return "images"
	case "image rm", "image remove":
		return "rmi"
	case "network list":
		return "network ls"
	case "network remove":
		return "network rm"
	case "volume list":
		return "volume ls"
	case "volume remove":
		return "volume rm"
	case "volume create", "volume inspect", "volume ls", "volume prune", "volume rm",
		"network connect", "network create", "network disconnect", "network inspect", "network ls", "network prune", "network rm":
		return name
	case "builder prune", "image inspect", "image prune", "container prune", "system prune", "system df", "system reset",
		"system enable", "system disable", "generate systemd", "generate quadlet":
		return name
	}
	return word
}

// lookup finds a command by its name, or by the name it has in a group.
func lookup(name string) (command, bool) {
	if group, word, grouped := strings.Cut(name, " "); grouped {
		name = ungrouped(group, word)
	}
	for _, construct := range constructors() {
		if c := construct(); c.name == name {
			return c, true
		}
	}
	return command{}, false
}
