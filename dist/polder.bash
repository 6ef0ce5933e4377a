# shellcheck shell=bash
# bash completion for polder(1)
_polder() {
    local cur prev words cword
    _init_completion || return

    local commands="check schema status top waf patches isolate isolation reconnect journal filter capture records audit reload drain upgrade metrics version help"
    local options="--config --socket --json --no-color"
    local command="" i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        --config | --socket | --cluster | --since | --reference | --paranoia | --replay | --for | --reason | --until | --except | --confirm-within | --rate | --from | --letter | --state | --out | --url | --token | --to | --patient | --user) ((i++)) ;;
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
        [ "$command" != isolate ] || options+=" --reason --cluster --for --until --except --dry-run --confirm-within --partners-back --yes"
        [ "$command" != isolation ] || options+=" --reason --cluster --except --from --letter --state"
        [ "$command" != reconnect ] || options+=" --reason --cluster --rate --dry-run"
        [ "$command" != journal ] || options+=" --from --follow --state"
        [ "$command" != filter ] || options+=" --for --reason"
        [ "$command" != capture ] || options+=" --out --for"
        [ "$command" != records ] || options+=" --cluster --url --token --out --from --to --dry-run"
        [ "$command" != audit ] || options+=" --cluster --patient --user --from --to --verify"
        [ "$command" != top ] || options+=" --once"
        [ "$command" != waf ] || options+=" --cluster --since --reference --paranoia --replay --clear --masked --for --reason"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    case $command in
    "" | help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
    check) _filedir '@(yaml|yml|json)' ;;
    isolate) [ "$prev" != isolate ] || mapfile -t COMPREPLY < <(compgen -W "open guarded partners closed sealed confirm approve withdraw except revoke" -- "$cur") ;;
    isolation)
        case $prev in
        isolation) mapfile -t COMPREPLY < <(compgen -W "status init report drill" -- "$cur") ;;
        drill) mapfile -t COMPREPLY < <(compgen -W "open guarded partners closed sealed" -- "$cur") ;;
        esac
        ;;
    reconnect) [ "$prev" != reconnect ] || mapfile -t COMPREPLY < <(compgen -W "plan next back alarm" -- "$cur") ;;
    filter) [ "$prev" != filter ] || mapfile -t COMPREPLY < <(compgen -W "show class block unblock" -- "$cur") ;;
    journal) [ "$prev" != journal ] || mapfile -t COMPREPLY < <(compgen -W "verify show" -- "$cur") ;;
    waf)
        case $prev in
        waf) mapfile -t COMPREPLY < <(compgen -W "top explain test tune excerpts" -- "$cur") ;;
        test) _filedir ;;
        esac
        ;;
    esac
}
complete -F _polder polder
