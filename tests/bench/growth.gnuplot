# SPDX-License-Identifier: MIT
#
# In: data, the name of a table (call, kind, leases, nanoseconds); picture, that of the SVG to write.

set terminal svg size 860,430 font 'sans-serif,12' background 'white' linewidth 1.2
set output picture
set datafile separator '\t'
set multiplot layout 1,2 margins 0.075,0.865,0.13,0.87 spacing 0.155

unset key
set logscale xy
set xrange [700:1.4e6]
set yrange [1:1000]
set format x '10^{%T}'
set format y '%g'
set title font ',13'
set xlabel 'leases present'
set border 3 lc rgb '#555555'
set tics nomirror tc rgb '#333333'
set grid ytics lc rgb '#dddddd'

calls = "'get' 'get uncached' 'put' 'refresh' 'grant' 'expire'"
array color[6] = ['#1b6ca8', '#58a6d6', '#c8553d', '#3c8d53', '#8a5aa8', '#8a6d1f']
call(i) = word(calls, i)
of(kind, i) = sprintf("< awk -F '\t' '$1 == \"%s\" && $2 == \"%s\" { print $3 FS $4 / 1000 }' %s", call(i), kind, data)

last(kind, i) = system(sprintf("awk -F '\t' '$1 == \"%s\" && $2 == \"%s\" { us = $4 / 1000 } END { print us }' %s", call(i), kind, data)) + 0

# The height of a name, as a factor on the axis.
apart = 1.42

do for [kind in "memory state"] {
  set title (kind eq 'memory' ? 'in memory' : 'with a state file')
  set ylabel (kind eq 'memory' ? 'median, µs' : '')
  unset label
  array end[6]
  do for [i = 1:6] { end[i] = last(kind, i) }
  # Each line has its name at its right end; from below, those that would overlap move up.
  place = 0
  do for [n = 1:6] {
    lowest = 1
    do for [i = 2:6] { if (end[i] < end[lowest]) { lowest = i } }
    place = end[lowest] > place * apart ? end[lowest] : place * apart
    set label n call(lowest) at graph 1.02, first place tc rgb color[lowest] font ',11'
    end[lowest] = 1e9
  }
  plot for [i = 1:6] of(kind, i) using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc rgb color[i]
}
unset multiplot
