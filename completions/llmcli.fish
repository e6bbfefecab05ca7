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
            case --model -m --provider -p --base-url --api-key-file --system -s --file -f --attach -a --template --var --temperature --max-tokens --top-p --stop --seed --option --thinking --schema --schema-retries --tool --tool-defs --tool-choice --max-tool-rounds --allow-tool --session --format --output -o --color --timeout --connect-timeout --first-timeout --idle-timeout --retries --retry-max-wait --fallback --log-file --config --ca-bundle --search --capability --key-file --key-command --adapter --default-model --key-env --key-header --path --request --content --set --status --directory
                set option $word
            case '--provider=*'
                set -g __llmcli_provider (string replace -- --provider= '' $word)
            case '-p*'
                set -g __llmcli_provider (string sub -s 3 -- $word)
            case '-*'
            case '*'
                set -l command (string trim -- "$__llmcli_command $word")
                if contains -- $command 'chat' 'health' 'completions' 'sessions' 'sessions list' 'sessions show' 'sessions export' 'sessions delete' 'models' 'models list' 'models show' 'models alias' 'models refresh' 'providers' 'providers show' 'providers login' 'providers logout' 'providers use' 'providers add' 'providers remove' 'providers read' 'providers check' 'providers new' 'templates' 'templates list' 'templates show'
                    set -g __llmcli_command $command
                    continue
                end
                if test -z "$__llmcli_command" # a plugin's command
                    set -g __llmcli_command --
                    return
                end
                if test $__llmcli_place = 0; and contains -- $__llmcli_command 'providers read' 'providers check'
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
    __llmcli_described model $found[1..5000]
end

# The ids of providers that are built in, that the configuration has, and that `llmcli models refresh` has seen.
function __llmcli_providers
    set -l found echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm (__llmcli_lines (__llmcli_cache)/providers.txt)
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
complete -c llmcli -n '__llmcli_at \'\'' -a chat -d 'Ask a model: words, files and stdin in, its answer on stdout'
complete -c llmcli -n '__llmcli_at \'\'' -a health -d 'Check providers step by step: what is wrong, and what to do'
complete -c llmcli -n '__llmcli_at \'\'' -a completions -d 'Print the completion script for a shell'
complete -c llmcli -n '__llmcli_at \'\'' -a sessions -d 'List the conversations that are kept, show, export, delete them'
complete -c llmcli -n '__llmcli_at \'\'' -a models -d 'List models, show one, name one, keep lists for completion'
complete -c llmcli -n '__llmcli_at \'\'' -a providers -d 'List providers, and set one up: log in, choose, add, check'
complete -c llmcli -n '__llmcli_at \'\'' -a templates -d 'List the templates of prompts, and show one'
complete -c llmcli -n '__llmcli_at \'\'' -l version -d 'Print the version and exit.'
complete -c llmcli -n '__llmcli_at \'\'' -l verbose -d 'With --version: Python, plugins, paths; what a report of a bug needs.'
complete -c llmcli -n '__llmcli_at \'\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l model -s m -r -f -a '(__llmcli_models)' -d 'The model; a provider\'s id alone means its default model. Not said: LLMCLI_MODEL, then `default` of the configuration.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l provider -s p -r -f -a '(__llmcli_providers)' -d 'The provider; --model is then taken verbatim.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l base-url -r -f -d 'Where the API is.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l api-key-file -r -F -d 'Read the key from FILE.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l system -s s -r -f -d 'The system prompt.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l file -s f -r -F -d 'Add a text file with its name; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l attach -s a -r -F -d 'Attach a picture, a PDF or a sound; `-` is stdin; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l attach-private -d 'Fetch URLs of -a here, also from this machine and its network.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l template -r -f -d 'Ask what a template says; `llmcli templates` lists them.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l var -r -f -d 'The value of a variable of the template; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l no-stdin -s n -d 'Leave stdin alone (in loops).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l temperature -r -f -d 'Sampling temperature.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l max-tokens -r -f -d 'The most tokens of the answer.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l top-p -r -f -d 'Nucleus sampling.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l stop -r -f -d 'End the answer at TEXT; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l seed -r -f -d 'For an answer that can be had again.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l option -r -f -d 'An option of the provider\'s own, past every check of ours; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l thinking -r -f -d 'How much the model is to think, said as its provider wants it.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l complete -d 'Have the prompt continued as it is: no chat, no system prompt.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l schema -r -F -d 'Have the answer satisfy a JSON schema: a file, JSON, or fields (\'name: str, age: int\'). It is one JSON document, or exit 13.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l schema-multi -d 'The answer is a list of such values.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l schema-retries -r -f -d 'How often an answer that does not satisfy the schema is sent back: once, unless said.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l tool -r -f -d 'Let the model call the functions of a Python file, or the one of this name; or a tool by its name: [tools.NAME] of the configuration, or an installed one; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l tool-defs -r -F -d 'Tools as OpenAI\'s JSON defines them: calls are shown (--json, --jsonl) and nothing is run.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l tool-choice -r -f -d 'Whether the model may, may not or must call a tool first, or which.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l max-tool-rounds -r -f -d 'The most rounds of calls: 10 unless said; exit 10 when there are more.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l yes -d 'Run every tool that is named, without asking.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l allow-tool -r -f -d 'Run this one without asking; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l session -r -f -d 'Go on with the session of this name, or begin it: what is said is kept on disk.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l continue -s c -d 'Go on with the session that was used last.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l stream -l no-stream -d 'Ask for the answer in pieces (the default where the provider can) or whole.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l format -r -f -a 'text markdown json jsonl' -d 'Default: markdown on a terminal, text elsewhere.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l json -d 'One JSON document when the answer is complete.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l jsonl -d 'A JSON line for each piece; the last has done: true.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l raw -d 'The model\'s bytes, also to a terminal.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l extract -s x -d 'Only the first fenced code block; exit 13 without one.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l output -s o -r -F -d 'Write to FILE when complete; a partial answer stays as FILE.part.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l show-thinking -l hide-thinking -d 'Thinking on stderr; default: when stderr is a terminal.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l usage -d 'A line with the token counts on stderr.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l color -r -f -a 'auto always never' -d 'Colour; NO_COLOR is honoured.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l quiet -s q -d 'Only errors on stderr.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l timeout -r -f -d 'For everything, from the start of the process.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l connect-timeout -r -f -d 'For DNS, connect, proxy and TLS together (5).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l first-timeout -r -f -d 'For the first event of the answer (120).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l idle-timeout -r -f -d 'Between complete events (60).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l retries -r -f -d 'Further attempts before any output (2).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l retry-max-wait -r -f -d 'The longest wait that a provider may ask for (60).'
complete -c llmcli -n '__llmcli_at \'chat\'' -l fallback -r -f -a '(__llmcli_models)' -d 'Ask this one when the first cannot be had; only before any output; repeatable.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l strict -l no-strict -d 'Exit 12 when the model stops at a limit or a filter.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l dry-run -d 'Print the request, without the key, and send nothing.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l curl -d 'Print a curl command that does the same.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l verbose -s v -d 'Request, answer, timings on stderr; redacted.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l log-file -r -F -d 'The same as JSON lines, appended to FILE.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l debug -d 'Show tracebacks.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'chat\'' -l ca-bundle -r -F -d 'Certificates to trust: a file or a hashed directory.'
complete -c llmcli -n '__llmcli_at \'chat\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'health\'' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'health\'' -l chat -d 'Ask each for one token too: its answer, and how long until it begins.'
complete -c llmcli -n '__llmcli_at \'health\'' -l timeout -r -f -d 'The most that all of it may take (10).'
complete -c llmcli -n '__llmcli_at \'health\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'health\'' -l color -r -f -a 'auto always never' -d 'Colour; NO_COLOR is honoured.'
complete -c llmcli -n '__llmcli_at \'health\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'health\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'health\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'completions\' 0' -f -a 'bash zsh fish'
complete -c llmcli -n '__llmcli_at \'completions\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'sessions\'' -a list -d 'List them: name, turns, model, when they were last used and begun'
complete -c llmcli -n '__llmcli_at \'sessions\'' -a show -d 'Show one: rendered on a terminal, Markdown in a pipe'
complete -c llmcli -n '__llmcli_at \'sessions\'' -a export -d 'Print all of one'
complete -c llmcli -n '__llmcli_at \'sessions\'' -a delete -d 'Delete them, so that nothing of them is left'
complete -c llmcli -n '__llmcli_at \'sessions\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'sessions\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'sessions list\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'sessions list\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'sessions show\'' -l color -r -f -a 'auto always never' -d 'Colour; NO_COLOR is honoured.'
complete -c llmcli -n '__llmcli_at \'sessions show\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'sessions export\'' -l format -r -f -a 'json markdown' -d 'JSON has all of it.'
complete -c llmcli -n '__llmcli_at \'sessions export\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'sessions delete\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'models\'' -a list -d 'List the models of the named providers, live'
complete -c llmcli -n '__llmcli_at \'models\'' -a show -d 'Show all that its provider tells of one model'
complete -c llmcli -n '__llmcli_at \'models\'' -a alias -d 'Give a model a short name (-m NAME), or list the names'
complete -c llmcli -n '__llmcli_at \'models\'' -a refresh -d 'Keep the lists of models for completion'
complete -c llmcli -n '__llmcli_at \'models\'' -l search -r -f -d 'Only models with all of these words in their id or name.'
complete -c llmcli -n '__llmcli_at \'models\'' -l cached -d 'From the lists that `models refresh` keeps; nothing is asked.'
complete -c llmcli -n '__llmcli_at \'models\'' -l timeout -r -f -d 'The most that each provider may take (15).'
complete -c llmcli -n '__llmcli_at \'models\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'models\'' -l jsonl -d 'Print a line of JSON for each model.'
complete -c llmcli -n '__llmcli_at \'models\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'models\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'models\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'models list\'' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'models list\'' -l search -r -f -d 'Only models with all of these words in their id or name.'
complete -c llmcli -n '__llmcli_at \'models list\'' -l cached -d 'From the lists that `models refresh` keeps; nothing is asked.'
complete -c llmcli -n '__llmcli_at \'models list\'' -l timeout -r -f -d 'The most that each provider may take (15).'
complete -c llmcli -n '__llmcli_at \'models list\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'models list\'' -l jsonl -d 'Print a line of JSON for each model.'
complete -c llmcli -n '__llmcli_at \'models list\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'models list\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'models list\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'models show\' 0' -f -a '(__llmcli_models)'
complete -c llmcli -n '__llmcli_at \'models show\'' -l timeout -r -f -d 'The most that each provider may take (15).'
complete -c llmcli -n '__llmcli_at \'models show\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'models show\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'models show\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'models show\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'models alias\' 0' -f -a '(__llmcli_aliases)'
complete -c llmcli -n '__llmcli_at \'models alias\' 1' -f -a '(__llmcli_models)'
complete -c llmcli -n '__llmcli_at \'models alias\'' -l remove -d 'Forget the name.'
complete -c llmcli -n '__llmcli_at \'models alias\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'models alias\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'models alias\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'models alias\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -l timeout -r -f -d 'The most that each provider may take (15).'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'models refresh\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers\'' -a show -d 'Show all of one provider'
complete -c llmcli -n '__llmcli_at \'providers\'' -a login -d 'Give a provider its key'
complete -c llmcli -n '__llmcli_at \'providers\'' -a logout -d 'Forget the key that `login` has kept'
complete -c llmcli -n '__llmcli_at \'providers\'' -a use -d 'Choose what is asked when no model is named'
complete -c llmcli -n '__llmcli_at \'providers\'' -a add -d 'Add a provider, by flags or by questions'
complete -c llmcli -n '__llmcli_at \'providers\'' -a remove -d 'Undo `add`'
complete -c llmcli -n '__llmcli_at \'providers\'' -a read -d 'Show what is read in a sample answer'
complete -c llmcli -n '__llmcli_at \'providers\'' -a check -d 'Check a provider as its author would'
complete -c llmcli -n '__llmcli_at \'providers\'' -a new -d 'Write a package or a table to begin with'
complete -c llmcli -n '__llmcli_at \'providers\'' -l configured -d 'Only those that can be asked: with a key, or a table of their own.'
complete -c llmcli -n '__llmcli_at \'providers\'' -l capability -r -f -a 'chat stream generate thinking vision tools schema' -d 'Only those that have it: stream, thinking, vision, tools, schema...; repeatable. Imports plugins.'
complete -c llmcli -n '__llmcli_at \'providers\'' -l load -d 'Import the plugins too, and show what each can do or what is wrong with it.'
complete -c llmcli -n '__llmcli_at \'providers\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'providers\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers show\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers show\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'providers show\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers show\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers show\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers login\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l key-file -r -F -d 'Take the key from FILE; it is copied.'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l key-command -r -f -d 'Have COMMAND print the key, each time that it is needed.'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l keyring -d 'Keep the key in the system\'s keyring (needs llmcli[keyring]) and not in a file.'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l test -l no-test -d 'Try the key with one cheap request before it is kept (the default).'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers login\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers login\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers logout\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers logout\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers logout\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers logout\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers use\' 0' -f -a '(__llmcli_models)'
complete -c llmcli -n '__llmcli_at \'providers use\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers use\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers use\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l adapter -r -f -a '(__llmcli_providers)' -d 'Who speaks to it: openai-compatible (the default), http (an API by expressions), or any provider\'s id.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l base-url -r -f -d 'Where the API is.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l default-model -r -f -d 'The model when none is named.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l key-env -r -f -d 'The environment variable that holds the key.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l key-command -r -f -d 'A command that prints the key.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l key-header -r -f -d 'The header that the key goes into.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l path -r -f -d 'What follows the base URL; with this and the next two the adapter is http.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l request -r -f -d 'The expression that makes the request.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l content -r -f -d 'The expression that finds the text of an answer.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l set -r -f -d 'Any other key, e.g. stream.delta=text; repeatable.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l replace -d 'Write the file anew if it is there.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers add\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers remove\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers remove\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers remove\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers remove\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers read\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers read\' 1' -F
complete -c llmcli -n '__llmcli_at \'providers read\'' -l stream -d 'It is a streamed answer.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -l status -r -f -d 'The HTTP status that it came with.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -l model -s m -r -f -a '(__llmcli_models)' -d 'The model, where it has keys of its own.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers read\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers check\' 0' -f -a '(__llmcli_providers)'
complete -c llmcli -n '__llmcli_at \'providers check\'' -l live -d 'Ask the service too: some cheap questions.'
complete -c llmcli -n '__llmcli_at \'providers check\'' -l model -s m -r -f -a '(__llmcli_models)' -d 'The model to ask.'
complete -c llmcli -n '__llmcli_at \'providers check\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'providers check\'' -l config -r -F -d 'Read FILE instead of LLMCLI_CONFIG or config.toml.'
complete -c llmcli -n '__llmcli_at \'providers check\'' -l no-config -d 'Read no configuration file.'
complete -c llmcli -n '__llmcli_at \'providers check\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'providers new\'' -l template -r -f -a 'plugin openai-compatible http' -d 'A package with a class, one for an OpenAI-compatible service, or a table.'
complete -c llmcli -n '__llmcli_at \'providers new\'' -l directory -r -f -a '(__fish_complete_directories)' -d 'Where to write it; default: here.'
complete -c llmcli -n '__llmcli_at \'providers new\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'templates\'' -a list -d 'List them: in a pipe as lines of name, variables, model and what it is for'
complete -c llmcli -n '__llmcli_at \'templates\'' -a show -d 'Show all that one template says, checked'
complete -c llmcli -n '__llmcli_at \'templates\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'templates\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'templates list\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'templates list\'' -s h -l help -d 'Show the help and exit.'
complete -c llmcli -n '__llmcli_at \'templates show\'' -l json -d 'Print JSON.'
complete -c llmcli -n '__llmcli_at \'templates show\'' -s h -l help -d 'Show the help and exit.'
