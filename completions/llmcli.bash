# bash completion for llmcli. Written by completions/generate.py; no Python is started.

_llmcli() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=llmcli words= options= word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [ "$word" = -- ] && return
        case "$command $word" in
            'llmcli chat'|'llmcli health'|'llmcli completions'|'llmcli models'|'llmcli providers') command=$word ;;
            'models list'|'models show'|'models alias'|'models refresh'|'providers show'|'providers login'|'providers logout'|'providers use'|'providers add'|'providers remove'|'providers read'|'providers check'|'providers new') command="$command $word" ;;
        esac
    done
    case $previous in
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --provider|-p) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text markdown json jsonl' -- "$current"); return ;;
        --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$current"); return ;;
        --fallback) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --template) mapfile -t COMPREPLY < <(compgen -W 'plugin openai-compatible http' -- "$current"); return ;;
        --api-key-file|--ca-bundle|--config|--file|--log-file|--output|-f|-o) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames; return ;;
        --adapter|--base-url|--capability|--connect-timeout|--content|--default-model|--directory|--first-timeout|--idle-timeout|--key-command|--key-env|--key-file|--key-header|--max-tokens|--option|--path|--request|--retries|--retry-max-wait|--search|--seed|--set|--status|--stop|--system|--temperature|--timeout|--top-p|-s) return ;;
    esac
    case $command in
        'llmcli') options='--version --verbose -h --help' ;;
        'chat') options='--model -m --provider -p --base-url --api-key-file --system -s --file -f --no-stdin -n --temperature --max-tokens --top-p --stop --seed --option --stream --no-stream --format --json --jsonl --raw --extract -x --output -o --show-thinking --hide-thinking --usage --color --quiet -q --timeout --connect-timeout --first-timeout --idle-timeout --retries --retry-max-wait --fallback --strict --no-strict --dry-run --curl --verbose -v --log-file --debug --config --no-config --ca-bundle -h --help' ;;
        'health') options='--chat --timeout --json --color --config --no-config -h --help' ;;
        'completions') options='-h --help' ;;
        'models') options='--search --cached --timeout --json --jsonl --config --no-config -h --help' ;;
        'models list') options='--search --cached --timeout --json --jsonl --config --no-config -h --help' ;;
        'models show') options='--timeout --json --config --no-config -h --help' ;;
        'models alias') options='--remove --json --config --no-config -h --help' ;;
        'models refresh') options='--timeout --json --config --no-config -h --help' ;;
        'providers') options='--configured --capability --load --json --config --no-config -h --help' ;;
        'providers show') options='--json --config --no-config -h --help' ;;
        'providers login') options='--key-file --key-command --keyring --test --no-test --config --no-config -h --help' ;;
        'providers logout') options='--config --no-config -h --help' ;;
        'providers use') options='--config --no-config -h --help' ;;
        'providers add') options='--adapter --base-url --default-model --key-env --key-command --key-header --path --request --content --set --replace --config --no-config -h --help' ;;
        'providers remove') options='--config --no-config -h --help' ;;
        'providers read') options='--stream --status --model -m --json --config --no-config -h --help' ;;
        'providers check') options='--live --model -m --json --config --no-config -h --help' ;;
        'providers new') options='--template --directory -h --help' ;;
    esac
    case $command in
        'llmcli') words='chat health completions models providers' ;;
        'chat') words='' ;;
        'health') words='' ;;
        'completions') words='' ;;
        'models') words='list show alias refresh' ;;
        'models list') words='' ;;
        'models show') words='' ;;
        'models alias') words='' ;;
        'models refresh') words='' ;;
        'providers') words='show login logout use add remove read check new' ;;
        'providers show') words='' ;;
        'providers login') words='' ;;
        'providers logout') words='' ;;
        'providers use') words='' ;;
        'providers add') words='' ;;
        'providers remove') words='' ;;
        'providers read') words='' ;;
        'providers check') words='' ;;
        'providers new') words='' ;;
    esac
    case $command in
        'health'|'models list'|'models refresh'|'providers show'|'providers logout'|'providers remove'|'providers read'|'providers check') words='echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' ;;
    esac
    if [[ $current == -* ]]; then words=$options; fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _llmcli llmcli
