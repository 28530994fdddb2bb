"""Completion of commands in a shell: `reproduce completion bash` or `zsh` prints a script.

    eval "$(reproduce completion bash)"    # now, or in ~/.bashrc

It completes verbs, groups of settings with their choices, and ids of runs. Choices are those of
now, with those of METHODS; ids are looked up when they are asked for.
"""

from collections.abc import Sequence

from reproduce.common.errors import UserError
from reproduce.config.overrides import groups

FIRST = {
    "bash": "",
    "zsh": """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -Uz bashcompinit && bashcompinit
""",
}
SCRIPT = r"""_reproduce_runs() {
    local results=results
    case "$1" in *" results="*" "*) results="${1##* results=}"; results="${results%% *}";; esac
    (cd "$results/runs" 2>/dev/null || cd "$results" && ls -d -- *-z[0-9]*) 2>/dev/null
}
_reproduce() {
    local line="${COMP_LINE:0:$COMP_POINT}" prefix="" words=""
    local word="${line##* }"
    local key="${word%%=*}"
    if [ "${line% *}" = "${line%% *}" ]; then
        words="@VERBS"
    elif [ "$key" = "$word" ]; then
        words="@KEYS"
        case "$line" in *" show "*) words="$words $(_reproduce_runs "$line")";; esac
        case "$word" in *-z*) ;; *) compopt -o nospace 2>/dev/null;; esac
    else
        # Where a shell takes what follows "=" for a word of its own, that is all it wants.
        case "$COMP_WORDBREAKS" in *=*) ;; *) prefix="$key=";; esac
        word="${word#*=}"
        case "$key" in
            run) words="$(_reproduce_runs "$line")";;
            @CHOICES
        esac
    fi
    COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$word"))
}
complete -o default -F _reproduce reproduce
"""


def main(arguments: Sequence[str]) -> int:
    """Print the script for a shell."""
    from reproduce.__main__ import VERBS  # which imports the verbs' modules by name

    if len(arguments) != 1 or arguments[0] not in FIRST:
        raise UserError("Name the shell, bash or zsh: `reproduce completion bash`.")
    choices = [f'{group}) words="{" ".join(names)}";;' for group, names in groups().items()]
    keys = " ".join(f"{key}=" for key in ("run", "results", *groups()))
    script = SCRIPT.replace("@VERBS", " ".join(VERBS)).replace("@KEYS", keys)
    print(FIRST[arguments[0]] + script.replace("@CHOICES", f"\n{' ' * 12}".join(choices)), end="")
    return 0
