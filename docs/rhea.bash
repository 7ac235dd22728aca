# Completion of rhea and rhea-img for bash. What there is, the programs say themselves.

# What `rhea OPTION help` lists: the first word of each line, or name "WORD".
_rhea_words()
{
	"$1" "$2" help 2>/dev/null | awk '
		/^name "/ { split($0, part, "\""); print part[2]; next }
		/^ *[A-Za-z0-9]/ { print $1 }'
}

_rhea_values()
{
	local program=$1 option=$2 word=$3

	case $option in
	-machine | -M | -accel | -cpu | -device | -display | -vga | -netdev | -d)
		COMPREPLY=($(compgen -W "$(_rhea_words "$program" "$option")" -- "$word"))
		;;
	-nic)
		COMPREPLY=($(compgen -W "user none" -- "$word"))
		;;
	*)
		COMPREPLY=($(compgen -f -- "$word"))
		compopt -o filenames 2>/dev/null
		;;
	esac
}

# All options, or with a second argument those that take one, from `rhea -help`.
_rhea_options()
{
	"$1" -help 2>/dev/null | awk -v taking="${2:-}" '
		/^  -/ {
			head = substr($0, 3)
			sub(/  +.*/, "", head)
			n = split(head, word, " ")
			for (i = 1; i <= n && word[i] ~ /^-/; i++) {
				sub(/,$/, "", word[i])
				if (!taking || word[n] !~ /^-/) print word[i]
			}
		}'
}

_rhea()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]}

	if [[ $before == -* ]] && _rhea_options "$program" taking | grep -qx -e "$before"; then
		_rhea_values "$program" "$before" "$word"
	elif [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$(_rhea_options "$program")" -- "$word"))
	else
		COMPREPLY=($(compgen -f -- "$word"))
		compopt -o filenames 2>/dev/null
	fi
}
complete -F _rhea rhea

_rhea_img()
{
	local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]}

	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "$("$program" --help 2>/dev/null | awk '/^  [a-z]/ { print $1 }')" -- "$word"))
	elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == -[fFO] ]]; then
		COMPREPLY=($(compgen -W "raw qcow2" -- "$word"))
	else
		COMPREPLY=($(compgen -f -- "$word"))
		compopt -o filenames 2>/dev/null
	fi
}
complete -F _rhea_img rhea-img
