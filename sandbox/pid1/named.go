package pid1

// UserNamed looks up a user by name in the /etc/passwd below root, as for the user of a
// program: it may be a hostile image's.
func UserNamed(root int, name string) (uid, gid int, err error) {
	passwd, err := accounts(root, "/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	entry := find(passwd, name, 0, false, 4)
	if entry == nil {
		return 0, 0, userError(name, "no such user in the image's /etc/passwd")
	}
	uid, ok1 := number(entry[2])
	gid, ok2 := number(entry[3])
	if !ok1 || !ok2 {
		return 0, 0, userError(name, "its line in the image's /etc/passwd is broken")
	}
	return uid, gid, nil
}

// GroupNamed does the same for a group and /etc/group.
func GroupNamed(root int, name string) (gid int, err error) {
	groups, err := accounts(root, "/etc/group")
	if err != nil {
		return 0, err
	}
	return lookUpGroup(groups, name)
}
