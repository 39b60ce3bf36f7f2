package main

// flagError is a flag that cannot be honoured. It prints as
// "sbx: run: --device is not supported yet: sbx passes no devices in yet".
type flagError struct{ msg string }

func (e *flagError) Error() string { return e.msg }

func refused(shown, why string) error {
	return &flagError{shown + " is not supported yet: " + why}
}

// invalid is a value that a flag does not take. There are a hundred calls: inlined it
// would be some kilobytes.
//
//go:noinline
func invalid(flag, value, why string) error {
	return &flagError{flag + " " + quote(value) + ": " + why}
}

// Reasons that several flags share.
const (
	noAnnotations = "sbx keeps no annotations; use --label"
	noLinks       = "sandboxes on a network of your own reach each other by name: 'sbx network create'"
	noLinkLocal   = "link-local addresses follow from the MAC address"
	noGPUs        = "sbx reads no CDI files; give the devices with --device and the driver's libraries with -v"
	noChoice      = "an image here is for one platform, the one it was pulled for"
	noPlatform    = "sbx pushes one platform, the one the image was pulled for"
	noWindows     = "it exists on Windows only"
)

// longName is the flag of Docker that a letter stands for, where sbx does not
// have it.
func longName(cmd, letter string) string {
	if cmd == "rm" {
		switch letter {
		case "l":
			return "link"
		}
	}
	if cmd == "build" && letter == "D" {
		return "debug"
	}
	if cmd == "network inspect" && letter == "v" {
		return "verbose"
	}
	return letter
}

// refusedFlag says why a flag that docker has for this command is refused; empty
// if docker does not have it either.
func refusedFlag(cmd, name string) string {
	name = normalize(name)
	switch cmd {
	case "run", "create":
		return refusedRunFlag(name)
	case "start":
		switch name {
		case "checkpoint", "checkpoint-dir":
			return "sbx has no checkpoints yet"
		}
	case "rm":
		switch name {
		case "link":
			return "sbx has no links"
		}
	case "update":
		return refusedLimit(name)
	case "logs":
		if name == "details" {
			return "sbx keeps no attributes with log lines"
		}
	case "inspect", "ps", "attach", "restart", "stop":
	case "build":
		return refusedBuildFlag(name)
	default:
		if why := refusedNetworkFlag(cmd, name); why != "" {
			return why
		}
		return refusedImageFlag(cmd, name)
	}
	return ""
}

// refusedImageFlag is refusedFlag for commands about images, podman's flags too.
func refusedImageFlag(cmd, name string) string {
	switch cmd + " " + name {
	case "import platform":
		return "an imported image is always for this machine's platform"
	case "builder prune verbose":
		return "what builds keep is in 'sbx system df -v'"
	case "builder prune min-free-space":
		return "use --keep-storage"
	case "push platform":
		return noPlatform
	case "history platform", "image inspect platform", "rmi platform", "save platform":
		return noChoice
	case "images tree":
		return "sbx lists images in one way"
	case "rmi no-prune":
		return "sbx keeps no layers that no image uses"
	case "search list-tags":
		return "sbx lists repositories only; 'sbx pull -a' gets every tag"
	case "volume create availability", "volume create group", "volume create limit-bytes", "volume create required-bytes",
		"volume create scope", "volume create secret", "volume create sharing", "volume create topology-preferred",
		"volume create topology-required", "volume create type", "volume ls cluster":
		return "sbx has no swarm"
	case "pull arch", "pull os", "pull variant":
		return "use --platform OS/ARCH[/VARIANT]"
	case "pull decryption-key", "push encryption-key", "push encrypt-layer":
		return "sbx encrypts no layers"
	case "push sign-by", "push sign-by-sigstore", "push sign-by-sigstore-private-key", "push sign-passphrase-file":
		return "sbx signs no images"
	case "push remove-signatures":
		return "sbx pushes no signatures anyway"
	case "save compress", "save uncompressed":
		return "layers in archives are as Docker writes them; compress the archive as a whole"
	}
	return ""
}

// refusedBuildFlag is refusedFlag for build, podman's flags too.
func refusedBuildFlag(name string) string {
	switch name {
	case "annotation":
		return noAnnotations
	case "attest":
		return "sbx makes no attestations"
	case "builder":
		return "sbx has one builder, itself"
	case "policy":
		return "sbx checks no sources of builds"
	case "debug":
		return "the supervisor's log is sbxd.log in the data directory"
	case "arch", "os", "variant":
		return "use --platform OS/ARCH[/VARIANT]"
	case "cap-add", "cap-drop", "security-opt", "userns", "device":
		return "a step has the usual capabilities; RUN --security=insecure has more, with --allow security.insecure"
	case "volume":
		return "use RUN --mount=type=bind and --build-context"
	case "env", "unsetenv", "unsetlabel", "from", "squash-all", "layers", "cpp-flag":
		return "the Dockerfile says it; --build-arg and --target choose"
	case "jobs":
		return "as many stages are built at once as there are processors"
	case "dns", "dns-option", "dns-search":
		return "a step has the host's name servers"
	case "manifest":
		return "sbx makes no lists of images"
	}
	return ""
}

// refusedNetworkFlag is refusedFlag for commands about networks, podman's flags
// too.
func refusedNetworkFlag(cmd, name string) string {
	switch cmd + " " + name {
	case "network create attachable", "network create ingress", "network create scope":
		return "sbx has no swarm"
	case "network create config-from", "network create config-only":
		return "sbx keeps no configurations apart from networks"
	case "network create aux-address":
		return "leave addresses out with --ip-range"
	case "network create ipam-driver", "network create ipam-opt":
		return "sbx chooses addresses in one way"
	case "network create ipv4":
		return "every network has IPv4"
	case "network create disable-dns", "network create dns":
		return "name servers are chosen for each sandbox, with --dns"
	case "network create interface-name":
		return noBridgeName
	case "network create route":
		return "a network has one gateway"
	case "network inspect verbose":
		return "there is nothing more to show"
	case "network connect driver-opt":
		return "networks have no options for one sandbox"
	case "network connect gw-priority":
		return "the network that the sandbox was made with has the default route"
	case "network connect link":
		return noLinks
	case "network connect link-local-ip":
		return noLinkLocal
	}
	return ""
}

// refusedLimit is refusedFlag for limits, of run, create and update.
func refusedLimit(name string) string {
	switch name {
	case "blkio-weight-device":
		return "sbx sets one weight for all devices: --blkio-weight"
	case "cpu-rt-period", "cpu-rt-runtime":
		return "cgroup v2 has no budget of real time"
	case "kernel-memory":
		return "cgroup v2 counts the kernel's memory with the rest: --memory"
	case "memory-swappiness":
		return "cgroup v2 has one swappiness for the whole machine: vm.swappiness"
	case "oom-kill-disable":
		return "cgroup v2 cannot stop a program that is out of memory instead of killing it"
	}
	return ""
}

func refusedRunFlag(name string) string {
	if why := refusedLimit(name); why != "" {
		return why
	}
	switch name {
	case "link":
		return noLinks
	case "link-local-ip":
		return noLinkLocal
	case "gpus":
		return noGPUs
	case "device-cgroup-rule":
		return "only root may rule over devices; --device gives what you may open yourself"
	case "cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "isolation":
		return noWindows
	}
	return refusedOther(name)
}

func refusedOther(name string) string {
	switch name {
	case "annotation":
		return noAnnotations
	case "runtime":
		return "sbx has one runtime, itself"
	case "storage-opt":
		return "only root may set disk quotas; SBX_DATA on a file system of its own bounds all sandboxes together"
	case "use-api-socket":
		return "sbx has no API socket to give away"
	}
	return ""
}

// refusedGlobal says why one of docker's flags before the verb is refused.
func refusedGlobal(name string) string {
	switch name {
	case "c", "context", "H", "host", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify":
		return "sbx talks to its own supervisor on this machine only"
	case "config":
		return "sbx has no configuration directory"
	case "D", "debug", "l", "log-level":
		return "the supervisor's log is sbxd.log in the data directory"
	}
	return ""
}

// refusedCommand says why one of docker's commands is refused.
func refusedCommand(name string) string {
	switch name {
	case "buildx bake":
		return "sbx builds one image at a time"
	case "buildx create", "buildx inspect", "buildx ls", "buildx rm", "buildx stop", "buildx use":
		return "sbx has one builder, itself"
	case "buildx du", "builder du":
		return "what builds keep is in 'sbx system df'"
	case "manifest":
		return "sbx makes no lists of images; 'sbx pull --platform' chooses from one"
	case "compose", "context", "plugin", "trust", "swarm", "service", "stack",
		"node", "secret", "config", "checkpoint":
		return "sbx does not have it"
	}
	return ""
}
