package main

import (
	"slices"
	"strings"
)

// constructors are all commands, in the order of the overview.
func constructors() []func() command {
	return []func() command{
		newRun, newCreate, newStart, newStop, newRestart, newKill, newRemove, newRename, newWait,
		newExec, newAttach, newLogs, newTop, newExport,
		newList, newInspect, newPort, newInfo, newVersion,
		newPull, newPush, newLogin, newLogout, newSearch,
		newImages, newRemoveImages, newTag, newInspectImages, newHistory, newSave, newLoad, newImport,
		newCreateNetwork, newNetworks, newInspectNetworks, newConnect, newDisconnect, newRemoveNetworks, newPruneNetworks,
		newDiskUsage, newPruneSandboxes, newPruneImages, newPruneAll, newReset,
		newCompletion, newHelp, newComplete,
	}
}

// groupNames are Docker's groups of commands: "container ls" is ps.
func groupNames() []string { return []string{"container", "image", "network", "system"} }

// members are the words that may follow the name of a group; nil if it is none.
func members(group string) []string {
	switch group {
	case "container":
		return []string{"attach", "create", "exec", "export", "inspect", "kill", "list", "logs", "ls", "port", "prune", "ps",
			"remove", "rename", "restart", "rm", "run", "start", "stop", "top", "wait"}
	case "image":
		return []string{"history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push",
			"remove", "rm", "save", "tag"}
	case "network":
		return []string{"connect", "create", "disconnect", "inspect", "list", "ls", "prune", "remove", "rm"}
	case "system":
		return []string{"df", "info", "prune", "reset"}
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
	case "image ls", "image list":
		return "images"
	case "image rm", "image remove":
		return "rmi"
	case "network list":
		return "network ls"
	case "network remove":
		return "network rm"
	case "network connect", "network create", "network disconnect", "network inspect", "network ls", "network prune", "network rm":
		return name
	case "image inspect", "image prune", "container prune", "system prune", "system df", "system reset":
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
