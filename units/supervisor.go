package units

// Supervisor is the name of the unit that has sandboxes started at boot.
const Supervisor = "sbx.service"

// ForSupervisor is the text of that unit. Starting it starts the supervisor, which
// puts itself into a scope of its own and starts what has a restart policy; the
// unit is only the occasion.
func ForSupervisor(exe string) string {
	return `[Unit]
Description=Start the sandboxes of sbx that have a restart policy
Documentation=man:sbx-system-enable(1)

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + quote(exe) + ` ps --quiet --filter status=restarting
# A sandbox is not this unit's: it has a scope of its own.
KillMode=process

[Install]
WantedBy=default.target
`
}
