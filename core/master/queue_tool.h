/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_tool.h - posthouse --queue-verify, --queue-export, --queue-import: the
 * queue of a server that does not run, as the user who owns it.
 */
#ifndef CORE_MASTER_QUEUE_TOOL_H
#define CORE_MASTER_QUEUE_TOOL_H

enum queue_tool { QUEUE_TOOL_NONE, QUEUE_VERIFY, QUEUE_EXPORT, QUEUE_IMPORT };

/* main_file: the configuration. file: of export and import. The exit status of
 * the process. */
int queue_tool_run(enum queue_tool tool, const char *main_file,
    const char *file);

#endif
