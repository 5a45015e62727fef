"""The completion scripts. They ask this command itself at every TAB, and so know what it knows."""

from __future__ import annotations

_BASH = r"""# Completion of s3z for bash. Where it may stand:
#   s3z --install-completion=bash > ~/.local/share/bash-completion/completions/s3z
# or, without the package bash-completion, in ~/.bashrc:
#   source <(s3z --install-completion=bash)
_s3z() {
    local line found
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(command s3z --complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o nospace -F _s3z s3z
"""
_ZSH = r"""#compdef s3z
# Completion of s3z for zsh. Where it may stand, for a directory that is in $fpath before compinit runs:
#   s3z --install-completion=zsh > ~/.zsh/completions/_s3z
# or, behind compinit in ~/.zshrc:
#   source <(s3z --install-completion=zsh)
_s3z() {
    local -a found going
    local word
    for word in "${(@f)$(command s3z --complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $word in
            '') ;;
            */|*=) going+=("$word") ;;
            *) found+=("$word") ;;
        esac
    done
    (( $#found )) && compadd -- "${found[@]}"
    (( $#going )) && compadd -S '' -- "${going[@]}"
    return $(( $#found + $#going == 0 ))
}
if [[ $funcstack[1] == _s3z ]]; then
    _s3z "$@"
else
    compdef _s3z s3z
fi
"""
_FISH = r"""# Completion of s3z for fish. Where it may stand:
#   s3z --install-completion=fish > ~/.config/fish/completions/s3z.fish
function __s3z_complete
    set -l typed (commandline -opc)
    command s3z --complete fish $typed[2..-1] (commandline -ct) 2>/dev/null
end
complete -c s3z -f -a '(__s3z_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """The script for a shell, without its last newline."""
    return _SCRIPTS[shell].rstrip("\n")
