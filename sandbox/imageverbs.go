package sandbox

import "sbx/api"

// answerImages carries out what is about images and the disk. known is false for
// any other request.
func (c *conversation) answerImages() (known bool, err error) {
	handle := map[string]func() error{
		api.VerbImages:       func() error { return with(c, c.images) },
		api.VerbRemoveImage:  func() error { return with(c, c.removeImages) },
		api.VerbTag:          func() error { return with(c, c.tag) },
		api.VerbInspectImage: func() error { return with(c, c.inspectImages) },
		api.VerbHistory:      func() error { return with(c, c.history) },
		api.VerbPruneImages:  func() error { return with(c, c.pruneImages) },
		api.VerbDiskUsage:    func() error { return with(c, c.diskUsage) },
		api.VerbCommit:       func() error { return with(c, c.commit) },
		api.VerbDiff:         func() error { return with(c, c.diff) },
		api.VerbExport:       func() error { return with(c, c.export) },
		api.VerbPull:         func() error { return with(c, c.pull) },
		api.VerbPush:         func() error { return with(c, c.push) },
		api.VerbSave:         func() error { return with(c, c.save) },
		api.VerbLogin:        func() error { return with(c, c.login) },
		api.VerbLogout:       func() error { return with(c, c.logout) },
		api.VerbSearch:       func() error { return with(c, c.search) },
		api.VerbLoad:         func() error { return with(c, c.load) },
		api.VerbGenerate:     func() error { return with(c, c.generate) },
		api.VerbReset:        c.reset,
	}[c.packet.Kind]
	if handle == nil {
		return false, nil
	}
	return true, handle()
}
