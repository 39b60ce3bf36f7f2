package main

// flagError is a flag that cannot be honoured. It prints as
// "sbx: run: --memory is not supported yet: sbx has no resource limits yet".
type flagError struct{ msg string }

func (e *flagError) Error() string { return e.msg }

func refused(shown, why string) error {
	return &flagError{shown + " is not supported yet: " + why}
}

// invalid is a value that a flag does not take.
func invalid(flag, value, why string) error {
	return &flagError{flag + " " + quote(value) + ": " + why}
}

// Reasons that several flags share.
const (
	noLimits   = "sbx has no resource limits yet"
	noNetworks = "sbx has no networks but none and host yet"
	noHealth   = "sbx has no health checks yet"
	noDevices  = "sbx passes no devices in yet"
	noPull     = "sbx pulls no images yet; use 'sbx import'"
	noVolumes  = "sbx has no volumes but binds and tmpfs yet"
	noWindows  = "it exists on Windows only"
)

// longName is the flag of Docker that a letter stands for, where sbx does not
// have it.
func longName(cmd, letter string) string {
	if cmd == "rm" {
		switch letter {
		case "v":
			return "volumes"
		case "l":
			return "link"
		}
	}
	switch letter {
	case "m":
		return "memory"
	case "c":
		return "cpu-shares"
	case "p":
		return "publish"
	case "P":
		return "publish-all"
	case "q":
		return "quiet"
	}
	return letter
}

// refusedFlag says why a flag that docker has for this command is refused; empty
// if docker does not have it either.
func refusedFlag(cmd, name string) string {
	name = string(normalize(nil, name))
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
		case "volumes":
			return "sbx has no anonymous volumes yet, so there is nothing to remove with the sandbox"
		case "link":
			return "sbx has no links"
		}
	case "logs":
		if name == "details" {
			return "sbx keeps no attributes with log lines"
		}
	case "import":
		if name == "platform" {
			return "an imported image is always for this machine's platform"
		}
	}
	return ""
}

func refusedRunFlag(name string) string {
	switch name {
	case "blkio-weight", "blkio-weight-device", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime",
		"cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "device-read-bps", "device-read-iops",
		"device-write-bps", "device-write-iops", "kernel-memory", "memory", "memory-reservation",
		"memory-swap", "memory-swappiness", "oom-kill-disable", "pids-limit":
		return noLimits
	case "cgroup-parent", "cgroupns":
		return "sbx has no cgroups of its own yet"
	case "oom-score-adj":
		return "it is a resource limit, and " + noLimits
	case "add-host", "dns", "dns-option", "dns-search", "domainname", "expose", "ip", "ip6", "link",
		"link-local-ip", "mac-address", "network-alias", "publish", "publish-all":
		return noNetworks
	case "health-cmd", "health-interval", "health-retries", "health-start-interval",
		"health-start-period", "health-timeout", "no-healthcheck":
		return noHealth
	case "device", "device-cgroup-rule", "gpus":
		return noDevices
	case "disable-content-trust", "platform", "quiet":
		return noPull
	case "volume-driver", "volumes-from":
		return noVolumes
	case "cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops", "isolation":
		return noWindows
	}
	return refusedOther(name)
}

func refusedOther(name string) string {
	switch name {
	case "annotation":
		return "sbx keeps no annotations; use --label"
	case "group-add":
		return "sbx sets the groups from the image's /etc/group alone"
	case "runtime":
		return "sbx has one runtime, itself"
	case "shm-size":
		return "/dev/shm has a fixed size; use --tmpfs /dev/shm:size=..."
	case "storage-opt":
		return "sbx has no disk quotas yet"
	case "sysctl":
		return "sbx sets no kernel parameters yet"
	case "use-api-socket":
		return "sbx has no API socket to give away"
	case "userns":
		return "sbx has one user mapping so far: root in the sandbox is you"
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
	case "build", "buildx", "builder", "commit", "container commit":
		return "sbx builds no images yet; use 'sbx import'"
	case "pull", "push", "login", "logout", "search", "manifest", "image pull", "image push":
		return "sbx talks to no registries yet; use 'sbx import'"
	case "images", "rmi", "save", "load", "tag", "history", "image ls", "image rm", "image prune",
		"image inspect", "image save", "image load", "image tag", "image history":
		return "sbx has no image commands but import yet"
	case "network", "port", "container port":
		return noNetworks
	case "volume":
		return noVolumes
	case "pause", "unpause", "stats", "update", "container pause", "container unpause",
		"container stats", "container update":
		return noLimits
	case "cp", "diff", "export", "container cp", "container diff", "container export":
		return "sbx copies no files out of sandboxes yet; use -v"
	case "events", "system", "compose", "context", "plugin", "trust", "swarm", "service", "stack",
		"node", "secret", "config", "container prune", "checkpoint":
		return "sbx does not have it"
	}
	return ""
}
