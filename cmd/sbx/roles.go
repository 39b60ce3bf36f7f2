package main

import (
	"sbx/sandbox/keeper"
	"sbx/sandbox/monitor"
	"sbx/sandbox/pid1"
	"sbx/userns/owners"
)

// roles are the processes that this binary can be, by the base name of argv[0].
var roles = map[string]func() int{
	keeper.Name:   keeper.Main,
	monitor.Role:  monitor.Main,
	pid1.RoleMain: pid1.Main,
	pid1.RoleInit: pid1.Init,
	owners.Role:   owners.Main,
}
