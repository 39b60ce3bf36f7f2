package main

func completionScript(shell string) (string, bool) {
	switch shell {
	case "bash":
		return bashScript, true
	case "zsh":
		return zshScript, true
	case "fish":
		return fishScript, true
	}
	return "", false
}

// bashScript splits the line itself: bash also splits at : and =, which images
// and flags contain, and wants back only what follows the last of them. The command may be an
// alias of sbx (docker) or a path of it.
const bashScript = `# bash completion for sbx
_sbx() {
	local words cur line=${COMP_LINE:0:COMP_POINT}
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	cur=${words[${#words[@]}-1]}
	[[ ${words[0]} == */sbx && -x ${words[0]} ]] || words[0]=sbx
	mapfile -t COMPREPLY < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
	local head=${cur%"${cur##*[:=]}"}
	COMPREPLY=("${COMPREPLY[@]#"$head"}")
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
}
complete -o default -F _sbx sbx
`

// zshScript is a file of fpath, whose first call defines the function only, as well as
// something to source.
const zshScript = `#compdef sbx
_sbx() {
	local -a found
	local program=${words[1]}
	[[ $program == */sbx && -x $program ]] || program=sbx
	found=("${(@f)$("$program" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then
		compadd -S '' -- ${(M)found:#*[:=]}
		compadd -- ${found:#*[:=]}
	else
		_files
	fi
}
if [[ ${funcstack[1]} == _sbx ]]; then
	_sbx "$@"
else
	compdef _sbx sbx
fi
`

// fishScript offers files only where sbx knows no names, as the other two do.
const fishScript = `# fish completion for sbx
function __sbx_found
	set -g __sbx_names (sbx __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)
	test (count $__sbx_names) -gt 0
end
complete -c sbx -n __sbx_found -f -a '$__sbx_names'
`
