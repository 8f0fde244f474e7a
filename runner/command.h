/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands; each gets the arguments behind its name and returns an exit status. */
#ifndef RUNNER_COMMAND_H
#define RUNNER_COMMAND_H

int command_run(int argc, char **argv);
void command_run_help(void);

int command_control(int argc, char **argv);
void command_control_help(void);

int command_switch(int argc, char **argv);
void command_switch_help(void);

int command_doctor(int argc, char **argv);
void command_doctor_help(void);

#endif /* RUNNER_COMMAND_H */
