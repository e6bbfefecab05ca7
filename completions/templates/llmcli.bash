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
    local word cluster='^-[@flags@]*([@letters@])(.*)$'
    for word in "${words[@]:1}"; do
        if [[ $option ]]; then
            case $option in -p | --provider) provider=$word ;; esac
            option=''
            continue
        fi
        case $word in
            --) return 1 ;;
            *[\<\>] | @valued@) option=$word ;;
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
        @commands@) command+=" $1" && return ;;
    esac
    [[ $command ]] || return # a plugin's command
    case "$command $place" in
        @provider_arguments@) provider=$1 ;;
    esac
    ((++place))
}

# What the word under the cursor can be: a word for the kinds of names that are looked up, else the words themselves.
_llmcli_choose() {
    if [[ $option == *[\<\>] || $current == [\<\>]* || $current == [0-9\&][\<\>]* ]]; then
        kind=:files # of a redirection
    elif [[ $option ]]; then
        case "$command $option" in
@values@
        esac
    elif [[ $current == -* ]]; then
        case $command in
@options@
        esac
    else
        case "$command" in
@subcommands@
        esac
        case "$command $place" in
@arguments@
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
    while ((++count <= @lines@)) && IFS= read -r -n 300 line; do
        [[ $line == "$1/"* && $line == "$wanted"* && ${#line} -lt 300 ]] && _llmcli_offer "${line#"$2"}"
    done < "$file"
}

# The ids of providers, in `ids`, and the names in `aliases`: those that are built in, those of the configuration, and
# those that `llmcli models refresh` has seen.
_llmcli_known() {
    local directory file line name
    ids=' @ids@ '
    file=$cache/providers.txt
    if [[ -f $file && -r $file ]]; then
        local count=0
        while ((++count <= @lines@)) && read -r -n 300 line; do _llmcli_id "$line"; done < "$file"
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
    while ((++count <= @lines@)) && read -r -n 300 line; do
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
