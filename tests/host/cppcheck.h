/* SPDX-License-Identifier: GPL-2.0-only */
/* What cppcheck has to know of the kernel's headers, which it does not read. */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 1, 192)
#define list_for_each_entry(pos, head, member) \
	for (pos = first(head); pos; pos = next(pos))
#define list_for_each_entry_rcu(pos, head, ...) \
	for (pos = first(head); pos; pos = next(pos))
#define list_for_each_entry_srcu(pos, head, ...) \
	for (pos = first(head); pos; pos = next(pos))
#define list_for_each_entry_safe(pos, n, head, member) \
	for (pos = first(head), n = next(pos); pos; pos = n)
#define llist_for_each_entry_safe(pos, n, head, member) \
	for (pos = first(head), n = next(pos); pos; pos = n)
#define hlist_bl_for_each_entry(pos, node, head, member) \
	for (pos = first(head); pos; pos = next(pos))
#define hlist_bl_for_each_entry_rcu(pos, node, head, member) \
	for (pos = first(head); pos; pos = next(pos))
