# shellcheck shell=bash
# bash completion for polder(1)
_polder() {
    local cur prev words cword
    _init_completion || return

    local commands="check schema status top reload drain upgrade metrics version"
    local command="" i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        --run-directory) ((i++)) ;;
        -*) ;;
        *)
            command=${words[i]}
            break
            ;;
        esac
    done

    if [ "$prev" = --run-directory ]; then
        _filedir -d
        return
    fi
    case $command in
    "") mapfile -t COMPREPLY < <(compgen -W "$commands --run-directory" -- "$cur") ;;
    check)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "--json" -- "$cur")
        else
            _filedir '@(yaml|yml|json)'
        fi
        ;;
    status | top | reload | drain | upgrade | version)
        mapfile -t COMPREPLY < <(compgen -W "--json" -- "$cur")
        ;;
    esac
}
complete -F _polder polder
