# fish completion for llmcli. Written by completions/generate.py from the options of the program.
#
# A TAB starts no process: fish does it all from this file, the names in the configuration and the lists that
# `llmcli models refresh` keeps. What is read there is never evaluated. A name that is not printable ASCII is not offered.

# Whether the cursor stands in this command, and on this argument of it if that is said.
function __llmcli_at
    __llmcli_walk
    test "$__llmcli_command" = "$argv[1]"; or return
    not set -q argv[2]; or test "$__llmcli_place" = "$argv[2]"
end

# Finds the command before the cursor, how many arguments of it there are, and which provider they name. Every condition
# asks, so it is remembered for the line.
function __llmcli_walk
    set -l words (commandline -opc)
    test "$words" = "$__llmcli_words"; and return
    set -g __llmcli_words $words
    set -g __llmcli_command ''
    set -g __llmcli_place 0
    set -g __llmcli_provider ''
    set -l option ''
    for word in $words[2..]
        if test -n "$option"
            contains -- $option -p --provider; and set -g __llmcli_provider $word
            set option ''
            continue
        end
        switch $word
            case --
                set -g __llmcli_command --
                return
            case @valued@
                set option $word
            case '--provider=*'
                set -g __llmcli_provider (string replace -- --provider= '' $word)
            case '-p*'
                set -g __llmcli_provider (string sub -s 3 -- $word)
            case '-*'
            case '*'
                set -l command (string trim -- "$__llmcli_command $word")
                if contains -- $command @commands@
                    set -g __llmcli_command $command
                    continue
                end
                if test -z "$__llmcli_command" # a plugin's command
                    set -g __llmcli_command --
                    return
                end
                if test $__llmcli_place = 0; and contains -- $__llmcli_command @provider_arguments@
                    set -g __llmcli_provider $word
                end
                set -g __llmcli_place (math $__llmcli_place + 1)
        end
    end
end

# Models: with -p as the provider calls them, else provider/model, the ids of providers, and aliases. fish finds what
# stands in the middle of a name too, and so is given all.
function __llmcli_models
    __llmcli_walk
    if test -n "$__llmcli_provider"
        __llmcli_listed $__llmcli_provider | string replace -- "$__llmcli_provider/" ''
        return
    end
    __llmcli_aliases
    set -l typed (commandline -ct | string replace -r -- '^(--[^=]*=|-[a-z])' '' | string trim -c '"\'')
    if string match -q -- '*/*' $typed
        __llmcli_listed (string replace -r -- '/.*' '' $typed)
        return
    end
    __llmcli_providers
    for file in (__llmcli_cache)/models/*.txt
        __llmcli_listed (__llmcli_stem $file)
    end
end

# The models of a provider, of which `ID/model` is a line of its list. Lists are bounded: one of them may be broken.
function __llmcli_listed
    string match -q -- '*/*' $argv[1]; and return
    set -l models '^'(string escape --style=regex -- $argv[1])'/[ -~]{1,300}$'
    set -l found (__llmcli_lines (__llmcli_cache)/models/$argv[1].txt | string match -r -- $models)
    __llmcli_described model $found[1..@lines@]
end

# The ids of providers that are built in, that the configuration has, and that `llmcli models refresh` has seen.
function __llmcli_providers
    set -l found @ids@ (__llmcli_lines (__llmcli_cache)/providers.txt)
    for file in (__llmcli_directory)/providers.d/*.toml
        set -a found (__llmcli_stem $file)
    end
    set -l lines (__llmcli_configuration)
    set -a found (string replace -rf -- '^\[providers\.["\']([^"\']+).*' '$1' $lines)
    set -a found (string replace -rf -- '^\[providers\.([\w-]+).*' '$1' $lines)
    __llmcli_described provider (string match -r -- '^[a-zA-Z0-9._-]+$' $found)
end

# The keys of `[aliases]`, as far as they stand in lines of their own.
function __llmcli_aliases
    set -l found
    set -l section ''
    for line in (__llmcli_configuration)
        if string match -q -- '[*' $line
            set section (string replace -r -- '\].*' '' $line)
        else if test "$section" = '[aliases'
            set -a found (string replace -rf -- '^["\']?([^"\'#=]*[^"\'#=\s])["\']?\s*=.*' '$1' $line)
        end
    end
    __llmcli_described alias (string match -r -- '^[ -~]+$' $found)
end

# The lines of both configuration files, without blanks around them.
function __llmcli_configuration
    set -l directory (__llmcli_directory)
    set -l file $directory/config.toml
    set -q LLMCLI_CONFIG[1]; and set file $LLMCLI_CONFIG
    __llmcli_lines $file
    __llmcli_lines $directory/state.toml
end

function __llmcli_directory
    if string match -q -- '/*' $XDG_CONFIG_HOME
        echo $XDG_CONFIG_HOME/llmcli
    else if test -d /System/Library # macOS
        echo $HOME/Library/Application Support/llmcli
    else
        echo $HOME/.config/llmcli
    end
end

function __llmcli_cache
    string match -q -- '/*' $XDG_CACHE_HOME; and echo $XDG_CACHE_HOME/llmcli; or echo $HOME/.cache/llmcli
end

function __llmcli_lines
    test -f $argv[1] -a -r $argv[1]; and string trim < $argv[1]
end

function __llmcli_stem
    string replace -r -- '.*/(.*)\..*' '$1' $argv[1]
end

function __llmcli_described
    test -n "$argv[2]"; and printf "%s\t$argv[1]\n" $argv[2..]
end

complete -c llmcli -f
@completions@
