# SPDX-License-Identifier: GPL-2.0-or-later
#
# Merges the TAP and KTAP of many programs that run side by side into one TAP
# stream with a closing line. Each input line is "JOB<tab>LINE". The frames
#	# run PROGRAM
#	# end PROGRAM STATUS
# around a program's output come from scripts/test and lab/run-selftests.
#
# A program's results count only if it gave as many as it planned and its exit
# status agrees with them; else one more result, a failure, says what is wrong.
# A skip counts as a failure unless the file `expected` lists it, one pattern a
# line: "program.test: reason", where * stands for anything.
#
# Variables: expected (file), start (seconds of the epoch), logs (for the reader).

BEGIN {
	FS = "\t"
	while ((getline line < expected) > 0) {
		sub(/[ \t]+$/, "", line)
		if (line == "" || line ~ /^#/)
			continue
		patterns[++nr_patterns] = glob(line)
	}
	print "TAP version 13"
}

function glob(text,    out, i, c)
{
	out = ""
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		if (c == "*")
			out = out ".*"
		else if (c ~ /[A-Za-z0-9 _:,;=%@~#<>&'"!\/-]/)
			out = out c
		else
			out = out "[" (c == "^" ? "\\^" : c == "\\" ? "\\\\" : c == "]" ? "\\]" : c) "]"
	}
	return "^" out "$"
}

function say(text)
{
	print text
	fflush()
}

function flush_notes(job)
{
	printf "%s", notes[job]
	notes[job] = ""
}

function pass(job, name)
{
	passed++
	notes[job] = ""
	show[job] = 0
	say("ok " ++points " - " job ": " name)
}

function fail(job, name)
{
	failed++
	failed_in[job]++
	failures = failures "# failed: " job ": " name "\n"
	say("not ok " ++points " - " job ": " name)
	flush_notes(job)
	show[job] = 1
	bad[job]++
}

function skip(job, name, reason,    i)
{
	for (i = 1; i <= nr_patterns; i++)
		if ((name ": " reason) ~ patterns[i]) {
			skipped++
			notes[job] = ""
			show[job] = 0
			say("ok " ++points " - " job ": " name " # SKIP " reason)
			return
		}
	fail(job, name ": skipped, and the reason is not in selftests/expected-skips: " reason)
	bad[job]--
}

# Name of a result line: what follows the number, or for harness lines that
# carry none, the test that was announced last.
function result_name(job, text)
{
	sub(/^(not )?ok[ ]*[0-9]*[ ]*(- )?/, "", text)
	sub(/[ ]*#[ ]*(SKIP|TODO|Skip|skip).*/, "", text)
	if (text == "")
		text = announced[job]
	return program[job] (text == "" ? "" : "." text)
}

function begin_program(job, name)
{
	end_program(job, "unfinished")
	program[job] = name
	plan[job] = -1
	got[job] = 0
	bad[job] = 0
	whole_skip[job] = ""
	announced[job] = ""
	notes[job] = ""
}

function end_program(job, status,    name)
{
	name = program[job]
	if (name == "")
		return
	if (status == "unfinished")
		fail(job, name ": did not end")
	else if (status == 124)
		fail(job, name ": ran out of time")
	else if (plan[job] == 0 && got[job] == 0 && (status == 0 || status == 4) && whole_skip[job] != "")
		skip(job, name, whole_skip[job])
	else if (plan[job] < 0)
		fail(job, name ": ended with status " status " and no plan")
	else if (got[job] != plan[job])
		fail(job, name ": gave " got[job] " of " plan[job] " planned results, status " status)
	else if (plan[job] == 0)
		fail(job, name ": tested nothing, status " status)
	else if (status != 0 && status != 4 && !bad[job])
		fail(job, name ": all results are good but the status is " status)
	else if (status == 0 && bad[job])
		fail(job, name ": a result is bad but the status is 0")
	program[job] = ""
	show[job] = 0
}

{
	job = $1
	text = substr($0, length(job) + 2)
	sub(/\r$/, "", text)
	jobs[job] = 1
}

text ~ /^# run / {
	begin_program(job, substr(text, 7))
	next
}

text ~ /^# end / {
	split(text, word, " ")
	end_program(job, word[4])
	next
}

text ~ /^# cpu [0-9]+ [0-9]+$/ {
	split(text, word, " ")
	cpu[job] = word[3] + word[4]
	next
}

text ~ /^# job / {
	# The whole job's own status: that of the emulated host or the script.
	end_program(job, "unfinished")
	split(text, word, " ")
	finished[job] = 1
	# 1 says no more than the points that failed.
	if (word[3] != 0 && !(word[3] == 1 && failed_in[job]))
		fail(job, "the job ended with status " word[3])
	took = took "# " job " took " word[4] " s, " cpu[job] " s of a processor\n"
	show[job] = 0
	next
}

text ~ /^1\.\.[0-9]+/ {
	line = text
	sub(/^1\.\./, "", line)
	plan[job] = line + 0
	if (plan[job] == 0) {
		sub(/.*#[ ]*(SKIP|skip|Skip)[ ]*/, "", line)
		whole_skip[job] = line == "0" ? "no reason given" : line
	}
	next
}

text ~ /^ok/ && program[job] != "" {
	got[job]++
	if (text ~ /#[ ]*(SKIP|skip|Skip)/) {
		reason = text
		sub(/.*#[ ]*(SKIP|skip|Skip)[ ]*/, "", reason)
		skip(job, result_name(job, text), reason)
	} else {
		pass(job, result_name(job, text))
	}
	next
}

text ~ /^not ok/ && program[job] != "" {
	got[job]++
	fail(job, result_name(job, text))
	next
}

{
	if (text ~ /^#[ ]+RUN[ ]/) {
		announced[job] = text
		sub(/^#[ ]+RUN[ ]+/, "", announced[job])
		sub(/[ ]*\.\.\.[ ]*$/, "", announced[job])
		show[job] = 0
	}
	line = "# [" job "] " text "\n"
	if (show[job])
		printf "%s", line
	else if (length(notes[job]) < 20000)
		notes[job] = notes[job] line
}

END {
	for (job in jobs) {
		end_program(job, "unfinished")
		if (!finished[job])
			fail(job, "the job did not end")
	}
	print "1.." points + 0
	"date +%s" | getline now
	printf "%s", took
	print "# all took " now - start " s; logs are in " logs
	printf "%s", failures
	if (!points)
		print "# failed: no test ran"
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed || !points
}
