# shellcheck shell=bash
# bash completion for polder(1)
_polder() {
    local cur prev words cword
    _init_completion || return

    local commands="check schema status top reload drain upgrade metrics version help"
    local options="--config --socket --json --no-color"
    local command="" i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        --config | --socket) ((i++)) ;;
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
    esac
    if [[ $cur == -* ]]; then
        [ "$command" != top ] || options+=" --once"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $command in
    "" | help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
    check) _filedir '@(yaml|yml|json)' ;;
    esac
}
complete -F _polder polder
