/* SPDX-License-Identifier: Apache-2.0 */
/* print.h - answers on a terminal. */
#ifndef CORE_CTL_PRINT_H
#define CORE_CTL_PRINT_H

#include <posthouse/base.h>

#include <stdio.h>

/* Lines as they are, but control characters as \xHH: in an answer is what
 * strangers wrote, and a terminal would obey it. */
void print_text(struct ph_slice text, FILE *out);

#endif
