# Completion of rhea and rhea-img for bash. What there is, the programs say themselves.

# What `rhea OPTION help` lists up to its first empty line: the first word of each line, or name "WORD".
_rhea_words()
{
	"$1" "$2" help 2>/dev/null | awk '
		/^$/ { exit }
		/^name "/ { split($0, part, "\""); print part[2]; next }
		/^ *[A-Za-z0-9]/ && $1 !~ /:$/ { print $1 }'
}

# The properties of a device, as KEY=.
_rhea_properties()
{
	"$1" -device "$2,help" 2>/dev/null | awk '/^  [A-Za-z0-9_.-]+=/ { sub(/=.*/, "="); print $1 }'
}

# The keys of an option, as KEY=, where HEAD stands before. What the program says to a key that there is not
# ends with them; a list cut short by the length of messages loses its last one.
_rhea_keys()
{
	local head=$3

	[[ $2 == -netdev && $head != *id=* ]] && head+=id=some,
	timeout 2 "$1" -S "$2" "${head}no-such-key=" 2>&1 </dev/null | awk '
		/no key .no-such-key.; it takes / {
			sub(/.*; it takes /, "")
			n = split($0, key, ", ") - (length($0) > 298)
			for (i = 1; i <= n; i++) print key[i] "="
			exit
		}'
}

# What -cpu NAME, takes: NAME=, or +NAME and -NAME where those begin.
_rhea_features()
{
	"$1" -cpu help 2>/dev/null | awk -v sign="${2%"${2#[+-]}"}" '
		on { for (i = 1; i <= NF; i++) print sign $i (sign == "" ? "=" : "") }
		/^Features/ { on = 1 }'
}

_rhea_files()
{
	COMPREPLY=($(compgen -f -- "$1"))
	compopt -o filenames 2>/dev/null
}

# What may stand behind the last comma of an argument. To bash, = and : end a word, so that what stands before
# them is no part of the answer.
_rhea_item()
{
	local program=$1 option=$2 word=$3 item=${3##*,}
	local head=${word%"$item"}

	case $option,$item in
	*,file=* | *,filename=* | *,*.filename=* | *,path=* | *,romfile=*)
		_rhea_files "${item#*=}"
		;;
	-device,*)
		[[ $item == *=* ]] ||
			COMPREPLY=($(compgen -P "${head##*[=:]}" -W "$(_rhea_properties "$program" "${word%%,*}")" -- "$item"))
		compopt -o nospace 2>/dev/null
		;;
	-cpu,*)
		COMPREPLY=($(compgen -P "${head##*[=:]}" -W "$(_rhea_features "$program" "$item")" -- "$item"))
		;;
	*=*) ;;
	-machine,* | -M,* | -accel,* | -smp,* | -m,* | -boot,* | -rtc,* | -drive,* | -netdev,* | -nic,* | -display,* | -vnc,* | \
	-audiodev,* | -mon,* | -name,* | -action,* | -overcommit,*)
		COMPREPLY=($(compgen -P "${head##*[=:]}" -W "$(_rhea_keys "$program" "$option" "$head")" -- "$item"))
		compopt -o nospace 2>/dev/null
		;;
	esac
}

_rhea_values()
{
	local program=$1 option=$2 word=$3

	if [[ $word == *[,=]* ]]; then
		_rhea_item "$program" "$option" "$word"
		return
	fi
	case $option in
	-machine | -M | -accel | -cpu | -device | -display | -vga | -netdev | -audiodev | -chardev | -k | -d)
		COMPREPLY=($(compgen -W "$(_rhea_words "$program" "$option")" -- "$word"))
		;;
	-nic)
		COMPREPLY=($(compgen -W "none $(_rhea_words "$program" "$option")" -- "$word"))
		;;
	-drive)
		COMPREPLY=($(compgen -W "file= format=raw format=qcow2 if=virtio if=ide if=none if=pflash id= media=cdrom" -- "$word"))
		compopt -o nospace 2>/dev/null
		;;
	-rtc | -boot | -smp | -action | -overcommit)
		_rhea_item "$program" "$option" "$word"
		;;
	*)
		_rhea_files "$word"
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
	local line=${COMP_LINE:0:COMP_POINT} program=${COMP_WORDS[0]} word before
	word=${line##*[[:space:]]}
	read -ra before <<<"${line%"$word"}"
	before=${before[-1]}

	if [[ $before == -* ]] && _rhea_options "$program" taking | grep -qx -e "$before"; then
		_rhea_values "$program" "$before" "$word"
	elif [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$(_rhea_options "$program")" -- "$word"))
	else
		_rhea_files "$word"
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
		_rhea_files "${COMP_WORDS[COMP_CWORD]}"
	fi
}
complete -F _rhea_img rhea-img
