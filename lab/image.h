/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAB_IMAGE_H
#define LAB_IMAGE_H

/* Anonymous file named for messages only; -1 and errno on failure. */
int image_file(const char *name);

/* Appends the contents of a file, padded to the 4 bytes that cpio wants. */
int image_add_layer(int image, const char *path);

/*
 * Appends one cpio archive: the words as /lab/argv, each ended by a NUL, and
 * the files by their last name in /root, modes kept. Returns 0, or -1 with the
 * offender's name in *culprit and errno set.
 */
int image_add_run(int image, char *const *words, char *const *files, const char **culprit);

#endif
