// completion.c - `lambkin completion bash|zsh`: made from the table of verbs.
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

static void complete_bash(void)
{
    printf("_lambkin() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]}\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W \"");
    for (unsigned i = 0; i < cli_n_verbs; i++)
        if (cli_verbs[i].summary)
            printf("%s%s", i ? " " : "", cli_verbs[i].name);
    printf("\" -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case \"$verb\" in\n");
    for (unsigned i = 0; i < cli_n_verbs; i++)
        if (cli_verbs[i].summary && cli_verbs[i].flags[0])
            printf("    %s) [ \"${word#-}\" != \"$word\" ] && COMPREPLY=($(compgen -W \"%s\" -- "
                   "\"$word\")) && return ;;\n",
                   cli_verbs[i].name, cli_verbs[i].flags);
    printf(
        "    esac\n"
        "    case \"$verb\" in\n"
        "    deploy|dev) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
        "    invoke|logs|rm|url) COMPREPLY=($(compgen -W \"$(lambkin ls --names 2>/dev/null)\" -- "
        "\"$word\")) ;;\n"
        "    runtime) COMPREPLY=($(compgen -W \"install python nodejs java\" -- \"$word\")) ;;\n"
        "    init) COMPREPLY=($(compgen -W \"python nodejs typescript go rust java ruby c\" -- "
        "\"$word\")) ;;\n"
        "    completion) COMPREPLY=($(compgen -W \"bash zsh\" -- \"$word\")) ;;\n"
        "    esac\n"
        "}\n"
        "complete -F _lambkin lambkin\n");
}

int completion_main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "bash") == 0) {
        complete_bash();
        return EXIT_FINE;
    }
    if (argc == 2 && strcmp(argv[1], "zsh") == 0) {
        // zsh runs bash's completion functions.
        printf("autoload -U +X bashcompinit && bashcompinit\n");
        complete_bash();
        return EXIT_FINE;
    }
    return cli_verb_usage("completion",
                          argc == 2 && strcmp(argv[1], "--help") == 0 ? EXIT_FINE : EXIT_USAGE);
}
