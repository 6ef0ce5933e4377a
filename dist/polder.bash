# shellcheck shell=bash
# bash completion for polder(1)
_polder() {
    local cur prev words cword
    _init_completion || return

    local commands="check schema status top waf patches reload drain upgrade metrics version help"
    local options="--config --socket --json --no-color"
    local command="" i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        --config | --socket | --cluster | --since | --reference | --paranoia | --replay | --for | --reason) ((i++)) ;;
        -*) ;;
        *)
            command=${words[i]}
            break
            ;;
        esac
    done

    case $prev in
    --config)
        _filedir '@(yaml|yml|json)'
        return
        ;;
    --socket)
        _filedir
        return
        ;;
    --replay)
        _filedir -d
        return
        ;;
    --paranoia)
        mapfile -t COMPREPLY < <(compgen -W "1 2 3 4" -- "$cur")
        return
        ;;
    esac
    if [[ $cur == -* ]]; then
        [ "$command" != top ] || options+=" --once"
        [ "$command" != waf ] || options+=" --cluster --since --reference --paranoia --replay --clear --masked --for --reason"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $command in
    "" | help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
    check) _filedir '@(yaml|yml|json)' ;;
    waf)
        case $prev in
        waf) mapfile -t COMPREPLY < <(compgen -W "top explain test tune excerpts" -- "$cur") ;;
        test) _filedir ;;
        esac
        ;;
    esac
}
complete -F _polder polder
