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
// and flags contain, and wants back only what follows the last of them.
const bashScript = `# bash completion for sbx
_sbx() {
	local words cur line=${COMP_LINE:0:COMP_POINT}
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	cur=${words[${#words[@]}-1]}
	mapfile -t COMPREPLY < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
	local head=${cur%"${cur##*[:=]}"}
	COMPREPLY=("${COMPREPLY[@]#"$head"}")
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
}
complete -o default -F _sbx sbx
`

const zshScript = `#compdef sbx
_sbx() {
	local -a found
	found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "$found" ]]; then
		compadd -a found
	else
		_files
	fi
}
compdef _sbx sbx
`

const fishScript = `# fish completion for sbx
complete -c sbx -a '(sbx __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`
