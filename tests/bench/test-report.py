#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What report.py makes of figures that are known."""

import unittest

import report


def document(clients=(1,), **ns):
    """`get_memory=2000`: what the row takes in the column."""
    rows, columns = ['get', 'put', 'refresh', 'attach'], ['tmpfs', 'floor', 'memory', 'state', 'Redis', 'etcd']
    figures = []
    for name, value in ns.items():
        row, column = name.split('_')
        figures += [{'row': row, 'column': column, 'clients': n, 'ns': value, 'least': value % 1000} for n in clients]
    return {'clients': list(clients), 'rows': rows, 'columns': columns, 'figures': figures}


def verdicts(margin=1, figure='ns', **ns):
    times = report.Times(document(**ns), figure)
    return {(row, column, reference): met for row, column, reference, _, _, met in report.verdicts(times, margin)}


class Verdicts(unittest.TestCase):
    def test_at_the_limit_is_met(self):
        self.assertEqual(verdicts(get_tmpfs=1000, get_memory=1250), {('get', 'memory', 'tmpfs'): True})

    def test_above_the_limit_is_missed(self):
        self.assertEqual(verdicts(get_tmpfs=1000, get_memory=1251), {('get', 'memory', 'tmpfs'): False})

    def test_a_margin_widens_the_limit(self):
        self.assertEqual(verdicts(margin=2, get_tmpfs=1000, get_memory=2500), {('get', 'memory', 'tmpfs'): True})
        self.assertEqual(verdicts(margin=2, get_tmpfs=1000, get_memory=2501), {('get', 'memory', 'tmpfs'): False})

    def test_a_state_file_has_limits_of_its_own(self):
        self.assertEqual(
            verdicts(put_floor=1000, put_memory=1300, put_state=1600, refresh_floor=1000, refresh_state=1200),
            {('put', 'memory', 'floor'): False, ('put', 'state', 'floor'): True, ('refresh', 'state', 'floor'): False},
        )

    def test_ten_times_faster_is_a_tenth(self):
        self.assertTrue(verdicts(get_memory=1000, get_Redis=10000)['get', 'memory', 'Redis'])
        self.assertFalse(verdicts(get_memory=1001, get_Redis=10000)['get', 'memory', 'Redis'])

    def test_what_was_not_measured_has_none(self):
        self.assertEqual(verdicts(get_memory=1000, attach_floor=1000, attach_memory=9000), {})

    def test_another_figure_can_decide(self):
        self.assertFalse(verdicts(get_tmpfs=2100, get_memory=3100)['get', 'memory', 'tmpfs'])
        self.assertTrue(verdicts(figure='least', get_tmpfs=2100, get_memory=3100)['get', 'memory', 'tmpfs'])


class Words(unittest.TestCase):
    def words(self, **ns):
        return report.words(report.Times(document(**ns)))

    def test_what_is_met_needs_none(self):
        self.assertEqual(self.words(get_tmpfs=1000, get_floor=2000, get_memory=1250), [])

    def test_where_the_floor_is_above_the_limit_it_says_so_once(self):
        said = self.words(get_tmpfs=1000, get_floor=2000, get_memory=2000, get_state=2000)
        self.assertEqual(said, ['get: the floor itself takes 2.00x tmpfs. That is the kernel and libfuse.'])

    def test_where_the_floor_is_not_to_blame_it_is_not_blamed(self):
        self.assertEqual(self.words(get_tmpfs=1000, get_floor=1200, get_memory=2000), [])


class Tables(unittest.TestCase):
    def lines(self, **ns):
        times = report.Times(document(clients=(1, 2), **ns))
        return [table.splitlines() for table in report.tables(times)]

    def test_a_row_names_its_ratios_its_reference_and_its_targets(self):
        one, _ = self.lines(put_floor=20000, put_memory=22000, put_state=40000)
        self.assertEqual(len(one), 2)
        self.assertEqual(
            one[1].split(maxsplit=9),
            ['put', '-', '20.00', '22.00', '1.10x', '40.00', '2.00x', '-', '-', 'floor  not met: state 2.00x floor > 1.60x'],
        )

    def test_targets_are_for_one_client(self):
        one, two = self.lines(get_tmpfs=1000, get_memory=1100)
        self.assertEqual(one[1].split()[-2:], ['tmpfs', 'met'])
        self.assertNotIn('met', ''.join(two))

    def test_what_has_no_target_has_no_verdict(self):
        one, _ = self.lines(attach_floor=1000, attach_memory=900)
        self.assertTrue(one[1].endswith('floor'), one[1])


if __name__ == '__main__':
    unittest.main()
