# bash completion for llmcli. Written by completions/generate.py from the options of the program.
#
# A TAB starts no process, not even a subshell: bash does it all from this file, the names in the configuration and the
# lists that `llmcli models refresh` keeps. What is read there is never evaluated. A name that is not printable ASCII is
# not offered, and one that the shell would take apart is offered quoted.

_llmcli() {
    local IFS=$' \t\n' typed=${2-} current='' glued='' head='' quoted='' command='' option='' kind='' place=0
    local provider='' cache ids=' ' aliases=() words=() offered=()
    COMPREPLY=()
    case ${XDG_CACHE_HOME-} in /*) cache=$XDG_CACHE_HOME/llmcli ;; *) cache=${HOME-}/.cache/llmcli ;; esac
    _llmcli_words
    _llmcli_walk || return 0
    _llmcli_choose
    _llmcli_unquote
    case $kind in
        :files) compopt -o default 2> /dev/null ;;
        :directories) compopt -o dirnames 2> /dev/null ;;
        :providers)
            _llmcli_known
            _llmcli_offer $ids
            ;;
        :aliases)
            _llmcli_known
            _llmcli_offer ${aliases[@]+"${aliases[@]}"}
            ;;
        :models) _llmcli_models ;;
        *) _llmcli_offer $kind ;;
    esac
}

# The words up to the cursor as the program will get them, in `words` and `current`: bash also cuts at `:` and `=`.
# `glued` is what precedes the part that readline will replace.
_llmcli_words() {
    local line=${COMP_LINE:0:COMP_POINT} piece i last=-1
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        [[ $line == *"$piece"* ]] || piece=${line#"${line%%[![:space:]]*}"} # the cursor stands within it
        if ((i)) && [[ $line != [[:space:]]* ]]; then
            words[last]+=$piece
        else
            words[++last]=$piece
        fi
        line=${line#*"$piece"}
    done
    current=${words[last]}
    unset "words[last]"
    glued=${current%"$typed"}
}

# Which command the words name, and what it is that the last one asks for. Fails where nothing can be offered.
_llmcli_walk() {
    local word cluster='^-[chnqvx]*([mpsfao])(.*)$'
    for word in "${words[@]:1}"; do
        if [[ $option ]]; then
            case $option in -p | --provider) provider=$word ;; esac
            option=''
            continue
        fi
        case $word in
            --) return 1 ;;
            *[\<\>] | --model | -m | --provider | -p | --base-url | --api-key-file | --system | -s | --file | -f | --attach | -a | --template | --var | --temperature | --max-tokens | --top-p | --stop | --seed | --option | --thinking | --schema | --schema-retries | --tool | --tool-defs | --tool-choice | --max-tool-rounds | --allow-tool | --session | --format | --output | -o | --color | --timeout | --connect-timeout | --first-timeout | --idle-timeout | --retries | --retry-max-wait | --fallback | --log-file | --config | --ca-bundle | --search | --capability | --key-file | --key-command | --adapter | --default-model | --key-env | --key-header | --path | --request | --content | --set | --status | --directory) option=$word ;;
            [\<\>]* | [0-9\&][\<\>]*) ;;
            --provider=*) provider=${word#*=} ;;
            --*) ;;
            -*)
                [[ $word =~ $cluster ]] || continue
                if [[ ${BASH_REMATCH[2]} == '' ]]; then
                    option=-${BASH_REMATCH[1]}
                elif [[ ${BASH_REMATCH[1]} == p ]]; then
                    provider=${BASH_REMATCH[2]}
                fi
                ;;
            *) _llmcli_step "$word" || return ;;
        esac
    done
    if [[ $option == '' && $current == --*=* ]]; then
        option=${current%%=*} head=${current%%=*}=
    elif [[ $option == '' && $current =~ $cluster && ${BASH_REMATCH[2]} ]]; then
        option=-${BASH_REMATCH[1]} head=${current%"${BASH_REMATCH[2]}"}
    fi
    current=${current#"$head"}
}

# One word that is no option: a command, or an argument of it.
_llmcli_step() {
    case "$command $1" in
        ' chat' | ' health' | ' completions' | ' sessions' | ' sessions list' | ' sessions show' | ' sessions export' | ' sessions delete' | ' models' | ' models list' | ' models show' | ' models alias' | ' models refresh' | ' providers' | ' providers show' | ' providers login' | ' providers logout' | ' providers use' | ' providers add' | ' providers remove' | ' providers read' | ' providers check' | ' providers new' | ' templates' | ' templates list' | ' templates show') command+=" $1" && return ;;
    esac
    [[ $command ]] || return # a plugin's command
    case "$command $place" in
        ' providers read 0' | ' providers check 0') provider=$1 ;;
    esac
    ((++place))
}

# What the word under the cursor can be: a word for the kinds of names that are looked up, else the words themselves.
_llmcli_choose() {
    if [[ $option == *[\<\>] || $current == [\<\>]* || $current == [0-9\&][\<\>]* ]]; then
        kind=:files # of a redirection
    elif [[ $option ]]; then
        case "$command $option" in
            ' chat --model' | ' chat -m' | ' chat --fallback' | ' providers read --model' | ' providers read -m' | ' providers check --model' | ' providers check -m') kind=':models' ;;
            ' chat --provider' | ' chat -p' | ' providers add --adapter') kind=':providers' ;;
            ' chat --api-key-file' | ' chat --file' | ' chat -f' | ' chat --attach' | ' chat -a' | ' chat --schema' | ' chat --tool-defs' | ' chat --output' | ' chat -o' | ' chat --log-file' | ' chat --config' | ' chat --ca-bundle' | ' health --config' | ' models --config' | ' models list --config' | ' models show --config' | ' models alias --config' | ' models refresh --config' | ' providers --config' | ' providers show --config' | ' providers login --key-file' | ' providers login --config' | ' providers logout --config' | ' providers use --config' | ' providers add --config' | ' providers remove --config' | ' providers read --config' | ' providers check --config') kind=':files' ;;
            ' chat --format') kind='text markdown json jsonl' ;;
            ' chat --color' | ' health --color' | ' sessions show --color') kind='auto always never' ;;
            ' sessions export --format') kind='json markdown' ;;
            ' providers --capability') kind='chat stream generate thinking vision tools schema' ;;
            ' providers new --template') kind='plugin openai-compatible http' ;;
            ' providers new --directory') kind=':directories' ;;
        esac
    elif [[ $current == -* ]]; then
        case $command in
            '') kind='--version --verbose -h --help' ;;
            ' chat') kind='--model -m --provider -p --base-url --api-key-file --system -s --file -f --attach -a --attach-private --template --var --no-stdin -n --temperature --max-tokens --top-p --stop --seed --option --thinking --complete --schema --schema-multi --schema-retries --tool --tool-defs --tool-choice --max-tool-rounds --yes --allow-tool --session --continue -c --stream --no-stream --format --json --jsonl --raw --extract -x --output -o --show-thinking --hide-thinking --usage --color --quiet -q --timeout --connect-timeout --first-timeout --idle-timeout --retries --retry-max-wait --fallback --strict --no-strict --dry-run --curl --verbose -v --log-file --debug --config --no-config --ca-bundle -h --help' ;;
            ' health') kind='--chat --timeout --json --color --config --no-config -h --help' ;;
            ' completions') kind='-h --help' ;;
            ' sessions') kind='--json -h --help' ;;
            ' sessions list') kind='--json -h --help' ;;
            ' sessions show') kind='--color -h --help' ;;
            ' sessions export') kind='--format -h --help' ;;
            ' sessions delete') kind='-h --help' ;;
            ' models') kind='--search --cached --timeout --json --jsonl --config --no-config -h --help' ;;
            ' models list') kind='--search --cached --timeout --json --jsonl --config --no-config -h --help' ;;
            ' models show') kind='--timeout --json --config --no-config -h --help' ;;
            ' models alias') kind='--remove --json --config --no-config -h --help' ;;
            ' models refresh') kind='--timeout --json --config --no-config -h --help' ;;
            ' providers') kind='--configured --capability --load --json --config --no-config -h --help' ;;
            ' providers show') kind='--json --config --no-config -h --help' ;;
            ' providers login') kind='--key-file --key-command --keyring --test --no-test --config --no-config -h --help' ;;
            ' providers logout') kind='--config --no-config -h --help' ;;
            ' providers use') kind='--config --no-config -h --help' ;;
            ' providers add') kind='--adapter --base-url --default-model --key-env --key-command --key-header --path --request --content --set --replace --config --no-config -h --help' ;;
            ' providers remove') kind='--config --no-config -h --help' ;;
            ' providers read') kind='--stream --status --model -m --json --config --no-config -h --help' ;;
            ' providers check') kind='--live --model -m --json --config --no-config -h --help' ;;
            ' providers new') kind='--template --directory -h --help' ;;
            ' templates') kind='--json -h --help' ;;
            ' templates list') kind='--json -h --help' ;;
            ' templates show') kind='--json -h --help' ;;
        esac
    else
        case "$command" in
            '') kind='chat health completions sessions models providers templates' ;;
            ' sessions') kind='list show export delete' ;;
            ' models') kind='list show alias refresh' ;;
            ' providers') kind='show login logout use add remove read check new' ;;
            ' templates') kind='list show' ;;
        esac
        case "$command $place" in
            ' health '* | ' models list '* | ' models refresh '* | ' providers show 0' | ' providers login 0' | ' providers logout 0' | ' providers remove 0' | ' providers read 0' | ' providers check 0') kind=':providers' ;;
            ' completions 0') kind='bash zsh fish' ;;
            ' models show 0' | ' models alias 1' | ' providers use 0') kind=':models' ;;
            ' models alias 0') kind=':aliases' ;;
            ' providers read 1') kind=':files' ;;
        esac
    fi
}

# `current` as the program would get it. A quote that is still open goes before what readline replaces.
_llmcli_unquote() {
    if [[ $glued == *[\"\'] ]]; then
        glued=${glued%?} quoted=1
        current=${current#?}
    else
        current=${current//\\/}
    fi
}

# Offer the words that begin with `current`; `offered` has them as they are.
_llmcli_offer() {
    local name word
    for name; do
        [[ $name == "$current"* ]] || continue
        case $name in
            '' | *[![:ascii:]]* | *[[:cntrl:]]*) continue ;;
            *[!a-zA-Z0-9._/:@+,=%-]*)
                [[ $quoted ]] && continue
                printf -v word %q "$name"
                ;;
            *) word=$name ;;
        esac
        offered+=("$name")
        word=$head$word
        [[ $word == "$glued"* ]] && COMPREPLY+=("${word#"$glued"}")
    done
}

# Models: with -p as the provider calls them, else provider/model, the ids of providers, and aliases. The models of a
# provider are listed when its id is whole, or is the only one that is left.
_llmcli_models() {
    if [[ $provider ]]; then
        _llmcli_listed "$provider" "$provider/"
        return
    fi
    _llmcli_known
    _llmcli_offer ${aliases[@]+"${aliases[@]}"}
    if [[ $current == */* ]]; then
        _llmcli_listed "${current%%/*}" ''
        return
    fi
    offered=()
    _llmcli_offer $ids
    if ((${#offered[@]} == 1)); then
        _llmcli_listed "${offered[0]}" ''
    elif [[ $ids == *" $current "* ]]; then
        _llmcli_listed "$current" ''
    fi
}

# Offer the models of a provider, of which `ID/model` is a line of its list, without a prefix. Lists are bounded: one of
# them may be broken.
_llmcli_listed() {
    local file=$cache/models/$1.txt wanted=$2$current line count=0
    [[ $1 != */* && -f $file && -r $file ]] || return
    while ((++count <= 5000)) && IFS= read -r -n 300 line; do
        [[ $line == "$1/"* && $line == "$wanted"* && ${#line} -lt 300 ]] && _llmcli_offer "${line#"$2"}"
    done < "$file"
}

# The ids of providers, in `ids`, and the names in `aliases`: those that are built in, those of the configuration, and
# those that `llmcli models refresh` has seen.
_llmcli_known() {
    local directory file line name
    ids=' echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm '
    file=$cache/providers.txt
    if [[ -f $file && -r $file ]]; then
        local count=0
        while ((++count <= 5000)) && read -r -n 300 line; do _llmcli_id "$line"; done < "$file"
    fi
    case ${XDG_CONFIG_HOME-}:$OSTYPE in
        /*) directory=$XDG_CONFIG_HOME/llmcli ;;
        :darwin*) directory=${HOME-}/Library/Application\ Support/llmcli ;;
        *) directory=${HOME-}/.config/llmcli ;;
    esac
    for file in "$directory"/providers.d/*.toml; do
        name=${file##*/}
        _llmcli_id "${name%.toml}"
    done
    _llmcli_configuration "${LLMCLI_CONFIG:-$directory/config.toml}"
    _llmcli_configuration "$directory/state.toml"
}

# The names in a configuration file, as far as they stand in lines of their own.
_llmcli_configuration() {
    local line name section='' count=0
    [[ -f $1 && -r $1 ]] || return
    while ((++count <= 5000)) && read -r -n 300 line; do
        case $line in
            '[providers.'[\"\']*)
                section='' name=${line#'[providers.'?}
                _llmcli_id "${name%%[\"\']*}"
                ;;
            '[providers.'*)
                section='' name=${line#'[providers.'}
                _llmcli_id "${name%%[].[:space:]]*}"
                ;;
            '['*) section=${line%%]*} ;;
            '#'*) ;;
            *=*)
                [[ $section == '[aliases' ]] || continue
                name=${line%%=*}
                name=${name%"${name##*[![:space:]]}"}
                name=${name#[\"\']}
                aliases+=("${name%[\"\']}")
                ;;
        esac
    done < "$1"
}

# One more id, if it is one.
_llmcli_id() {
    [[ $1 == '' || $1 == *[!a-zA-Z0-9._-]* || $ids == *" $1 "* ]] || ids+="$1 "
}

complete -F _llmcli llmcli
