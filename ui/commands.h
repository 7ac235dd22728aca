/* The functions that commands.def names; between the list and those who write them. */
#ifndef UI_COMMANDS_H
#define UI_COMMANDS_H

#include "ui/command.h"

#define SHOW(fn)	cmd_show_fn show_##fn
#define SILENT		struct cmd_no_function
#define COMMAND(name, alias, params, min, fn, help)	cmd_words_fn mon_##fn;
#define INFO(subject, fn, help)				cmd_words_fn mon_info_##fn;
#define QMP(name, args, returns, fn, help)		cmd_fn cmd_##fn;
#define BOTH(name, human, alias, args, returns, fn, show, help)	cmd_fn cmd_##fn; show;
#define QUERY(name, subject, args, returns, fn, show, help)	cmd_fn cmd_##fn; show;
#define EVENT(name, members, help)
#include "ui/commands.def"
#undef SHOW
#undef SILENT
#undef COMMAND
#undef INFO
#undef QMP
#undef BOTH
#undef QUERY
#undef EVENT

#endif
