/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - what modules of a later order are shown: the message as those before
 * them left it, octet for octet as it is to be stored.
 */
#ifndef CORE_PIPELINE_VIEW_H
#define CORE_PIPELINE_VIEW_H

#include "pipeline/pipeline.h"

/* Apply what a reply's fields say, and another body (a file of the arena's; -1:
 * none), to what the call shows. Slices shown before stay good as long as the
 * call's arena. */
void view_change(struct ph_call *call, struct ph_slice changes, int body_fd);

#endif
