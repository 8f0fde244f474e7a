# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tables of bench/io/run, one a transport: awk -f table.awk vmm kvm, the outputs of
# its two hosts. Ticks were taken in two runs: within 1%, the smaller; else refused, and
# the exit status is 1. Exits and interrupts differ a little from run to run and are the
# mean. What the load named "nothing" took, the marks themselves, is off every figure.

BEGIN {
	split("read_1 read_32 send_64 send_1500 receive_64 receive_1500 round_trip", name)
	rows = 7
	title["read_1"] = "read of 4 KiB, one at a time"
	title["read_32"] = "read of 4 KiB, 32 at a time"
	title["send_64"] = "packet of 64 bytes sent"
	title["send_1500"] = "packet of 1500 bytes sent"
	title["receive_64"] = "packet of 64 bytes received"
	title["receive_1500"] = "packet of 1500 bytes received"
	title["round_trip"] = "request of 64 bytes and its answer"
}

FNR == 1 { file++ }

# A run that got stuck is done again.
$1 == "run" {
	transport = $2
	kind = $3
	n[file, transport, kind]++
	next
}

$1 == "stuck" { n[file, transport, kind]-- }

$1 == "figure" || $1 == "syscalls" {
	key = file SUBSEP transport SUBSEP $2 SUBSEP
	count[$2] = $3
	if ($1 == "syscalls") {
		syscalls[key] = $4
	} else {
		run = n[file, transport, kind]
		ticks[key run] = $4
		exits[key run] = $5
		interrupts[key run] = $6
	}
}

# An operation's ticks, or "" if two runs do not agree.
function settled(file, what,	key, none, x, y)
{
	key = file SUBSEP transport SUBSEP what SUBSEP
	none = file SUBSEP transport SUBSEP "nothing" SUBSEP
	if (!((key 1) in ticks) || !((key 2) in ticks))
		return ""
	x = ticks[key 1] - ticks[none 1]
	y = ticks[key 2] - ticks[none 2]
	if (x - y > x / 100 || y - x > y / 100)
		return ""
	return (x < y ? x : y) / count[what]
}

# The mean of both runs, an operation.
function mean(list, file, what,	key, none)
{
	key = file SUBSEP transport SUBSEP what SUBSEP
	none = file SUBSEP transport SUBSEP "nothing" SUBSEP
	return (list[key 1] + list[key 2] - list[none 1] - list[none 2]) / 2 / count[what]
}

function calls(file, what,	key, none)
{
	key = file SUBSEP transport SUBSEP what SUBSEP
	none = file SUBSEP transport SUBSEP "nothing" SUBSEP
	return (syscalls[key] - syscalls[none]) / count[what]
}

function row(what,	ours, theirs)
{
	ours = settled(1, what)
	theirs = settled(2, what)
	if (ours == "" || theirs == "")
		refused[++bad] = title[what] ", " transport
	printf "| %-34s | %7s | %7s | %5s | %4.2f | %4.2f | %4.2f | %4.2f | %5.2f | %5.2f |\n",
		title[what], ours == "" ? "refused" : sprintf("%d", ours),
		theirs == "" ? "refused" : sprintf("%d", theirs),
		ours == "" || theirs == "" ? "-" : sprintf("%.2f", ours / theirs),
		mean(exits, 1, what), mean(exits, 2, what), mean(interrupts, 1, what),
		mean(interrupts, 2, what), calls(1, what), calls(2, what)
}

function table()
{
	printf "\nvirtio over %s: ours beside QEMU's microvm with KVM, an operation\n\n",
		toupper(transport)
	printf "| %-34s | %7s | %7s | %5s | %4s | %4s | %4s | %4s | %5s | %5s |\n", "operation",
		"ticks", "QEMU", "ratio", "exit", "QEMU", "irqs", "QEMU", "calls", "QEMU"
	printf "|%s|%s:|%s:|%s:|%s:|%s:|%s:|%s:|%s:|%s:|\n", "------------------------------------",
		"--------", "--------", "------", "-----", "-----", "-----", "-----", "------", "------"
	for (i = 1; i <= rows; i++)
		row(name[i])
}

END {
	transport = "pci"
	table()
	transport = "mmio"
	table()
	print "\nTicks are the whole machine's: guest, host and runner."
	for (i = 1; i <= bad; i++)
		printf "refused: %s\n", refused[i]
	exit bad > 0
}
