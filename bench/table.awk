# SPDX-License-Identifier: GPL-2.0-or-later
#
# The table of one host: awk -v host=H -f table.awk rows vmm.1 vmm.2 kvm.1 kvm.2
#
# Each figure was taken in two boots. Equal to the last tick: printed as it is.
# Within 1%: the smaller one, with a ~. Else, or missing: refused, no number, and
# the exit status is 1. Ratios are ours over KVM's.

function trim(s)
{
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

FNR == 1 { file++ }

file == 1 {
	if ($0 ~ /^#/ || split($0, part, "|") < 3)
		next
	if (part[4] != "" && index(host, trim(part[4])) != 1)
		next
	row[++rows] = trim(part[1])
	target[rows] = trim(part[2])
	title[rows] = trim(part[3])
	next
}

$1 == "figure" && NF == 4 {
	ticks[$2, file - 1] = $3
	count[$2] = $4
}

# Ticks of one operation from runs @a and @a + 1 of figure @name, or "" with why[].
function settle(name, a,	x, y, least)
{
	mark = ""
	if (!((name, a) in ticks) || !((name, a + 1) in ticks)) {
		why = "missing"
		return ""
	}
	x = ticks[name, a]
	y = ticks[name, a + 1]
	least = x < y ? x : y
	if (x != y) {
		mark = "~"
		if (x - y > least / 100 || y - x > least / 100) {
			why = sprintf("%d and %d", x / count[name], y / count[name])
			return ""
		}
	}
	return least / count[name]
}

function cell(value, mark)
{
	return value == "" ? "refused" : sprintf("%s%d", mark, value + 0.5)
}

END {
	printf "%s: ticks an operation (1 tick = 1 instruction), ours over KVM's\n\n", host
	printf "| %-40s | %9s | %9s | %6s | %6s |\n", "operation", "vmm", "KVM", "ratio", "target"
	printf "|%s|%s:|%s:|%s:|%s:|\n", "------------------------------------------",
		"----------", "----------", "-------", "-------"
	for (i = 1; i <= rows; i++) {
		ours = settle(row[i], 1)
		ours_mark = mark
		if (ours == "")
			refused[++bad] = title[i] ", vmm: " why
		theirs = settle(row[i], 3)
		if (theirs == "")
			refused[++bad] = title[i] ", KVM: " why
		ratio = ours == "" || theirs == "" ? "-" : sprintf("%.2f", ours / theirs)
		exact += ours_mark == "" && mark == ""
		printf "| %-40s | %9s | %9s | %6s | %6s |\n", title[i], cell(ours, ours_mark),
			cell(theirs, mark), ratio, target[i]
	}
	printf "\n%d of %d rows are equal to the last tick in both boots; ~ is within 1%%.\n",
		exact, rows
	for (i = 1; i <= bad; i++)
		printf "refused: %s\n", refused[i]
	exit bad > 0
}
