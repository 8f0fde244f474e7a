# SPDX-License-Identifier: GPL-2.0-or-later
#
# Instructions by function in one round: awk -f profile.awk MAP TRACE
#
# MAP is sorted text symbols as /proc/kallsyms has them, TRACE is QEMU's log of
# executed blocks of one instruction each. A round starts where the guest is at the
# instruction that it executes most often. Rounds that are as long as most are
# counted, and all of them have to be alike; those that a timer made longer are not.

# Addresses as fixed-width text compare as the numbers do, at any width.
function place(address,	low, high, mid)
{
	if (address in known)
		return known[address]
	low = 1
	high = symbols
	while (low < high) {
		mid = int((low + high + 1) / 2)
		if (start[mid] <= address)
			low = mid
		else
			high = mid - 1
	}
	return known[address] = name[low]
}

FNR == NR {
	if ($1 == last)
		next
	last = $1
	start[++symbols] = $1
	name[symbols] = $3 " " ($4 == "" ? "kernel" : $4)
	next
}

/^Trace / {
	split($0, half, "[")
	split(half[2], field, "/")
	address = field[2]
	flags = field[3]
	# Bit 21 of QEMU's flags: guest mode; bits 0 and 1: the privilege level.
	if (substr(flags, length(flags) - 5, 1) ~ /[2367abefABEF]/) {
		at[++n] = "the guest -"
		seen[guest[n] = address]++
	} else if (substr(flags, length(flags), 1) ~ /[37bfBF]/) {
		at[++n] = "the process -"
	} else {
		at[++n] = place(address)
	}
}

END {
	for (address in seen)
		if (seen[address] > seen[head] || head == "")
			head = address
	for (i = 1; i <= n; i++)
		if (guest[i] == head && head != "")
			begin[++rounds] = i
	for (r = 1; r < rounds; r++) {
		size = begin[r + 1] - begin[r]
		if (++sizes[size] > sizes[usual])
			usual = size
	}
	if (sizes[usual] < 2)
		exit 1
	for (r = 1; r < rounds; r++) {
		if (begin[r + 1] - begin[r] != usual)
			continue
		for (i = begin[r]; i < begin[r + 1]; i++)
			count[at[i]]++
	}
	printf "\n%s: %d instructions a round, by function (%d of %d rounds, all alike)\n\n",
		title, usual, sizes[usual], rounds - 1
	printf "| %-44s | %-10s | %5s |\n", "function", "where", "count"
	printf "|%s|%s|%s:|\n", "----------------------------------------------",
		"------------", "------"
	command = "LC_ALL=C sort -rn | head -n " top
	for (key in count) {
		split(key, part, " ")
		if (part[1] == "the") {
			part[1] = "(" part[1] " " part[2] ")"
			part[2] = "-"
		}
		gsub(/[][]/, "", part[2])
		printf "%09.1f | %-44s | %-10s |\n", count[key] / sizes[usual], part[1],
			part[2] | (command " | awk '{ c = $1 + 0; sub(/^[^|]*/, \"\"); printf \"%s %5d |\\n\", $0, c }'")
	}
}
