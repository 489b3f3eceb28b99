/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - the files of sdk/template, as CMakeLists.txt makes them. */
#ifndef SDK_PROGRAM_TEMPLATE_H
#define SDK_PROGRAM_TEMPLATE_H

struct template {
	const char *kind; /* of --kind, or "any" */
	const char *path; /* with marks, as the text; NULL ends the list */
	const char *text;
};
extern const struct template templates[];

#endif
