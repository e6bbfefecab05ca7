# bash completion for llmcli. Written by completions/generate.py; no Python is started.

_llmcli() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=llmcli words= options= word
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [ "$word" = -- ] && return
        case "$command $word" in
            'llmcli chat'|'llmcli health'|'llmcli models'|'llmcli providers') command=$word ;;
            'models list'|'providers show'|'providers add'|'providers read'|'providers check'|'providers new') command="$command $word" ;;
        esac
    done
    case $previous in
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --provider|-p) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text markdown json jsonl' -- "$current"); return ;;
        --fallback) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$current"); return ;;
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --model|-m) mapfile -t COMPREPLY < <(compgen -W 'echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' -- "$current"); return ;;
        --template) mapfile -t COMPREPLY < <(compgen -W 'plugin openai-compatible http' -- "$current"); return ;;
        --api-key-file|--ca-bundle|--config|--file|--log-file|--output|-f|-o) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames; return ;;
        --adapter|--base-url|--connect-timeout|--content|--default-model|--directory|--first-timeout|--idle-timeout|--key-command|--key-env|--key-header|--max-tokens|--option|--path|--request|--retries|--retry-max-wait|--seed|--set|--status|--stop|--system|--temperature|--timeout|--top-p|-s) return ;;
    esac
    case $command in
        'llmcli') options='--version -h --help' ;;
        'chat') options='--model -m --provider -p --base-url --api-key-file --system -s --file -f --temperature --max-tokens --top-p --stop --seed --option --stream --no-stream --format --json --jsonl --raw --show-thinking --hide-thinking --extract -x --output -o --usage --no-stdin -n --timeout --connect-timeout --first-timeout --idle-timeout --retries --retry-max-wait --strict --no-strict --fallback --dry-run --curl --config --no-config --ca-bundle --verbose -v --log-file --debug --quiet -q --color -h --help' ;;
        'health') options='--config --no-config --json -h --help' ;;
        'models') options='--config --no-config --json -h --help' ;;
        'models list') options='--config --no-config --json -h --help' ;;
        'providers') options='--load --config --no-config --json -h --help' ;;
        'providers show') options='--config --no-config --json -h --help' ;;
        'providers add') options='--adapter --base-url --default-model --key-env --key-command --key-header --path --request --content --set --replace --config --no-config -h --help' ;;
        'providers read') options='--stream --status --model -m --config --no-config --json -h --help' ;;
        'providers check') options='--live --model -m --config --no-config --json -h --help' ;;
        'providers new') options='--template --directory -h --help' ;;
    esac
    case $command in
        'llmcli') words='chat health models providers' ;;
        'chat') words='' ;;
        'health') words='' ;;
        'models') words='list' ;;
        'models list') words='' ;;
        'providers') words='show add read check new' ;;
        'providers show') words='' ;;
        'providers add') words='' ;;
        'providers read') words='' ;;
        'providers check') words='' ;;
        'providers new') words='' ;;
    esac
    case $command in
        'health'|'models list'|'providers show'|'providers read'|'providers check') words='echo openai openai-compatible anthropic ollama gateway http azure together groq mistral deepseek openrouter xai fireworks perplexity cerebras nvidia ai21 huggingface-router gemini-openai cohere-openai moonshot zai dashscope siliconflow lmstudio vllm llamacpp jan localai docker-model-runner litellm' ;;
    esac
    if [[ $current == -* ]]; then words=$options; fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _llmcli llmcli
