#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The kernel's own semantic patches find nothing in the modules: use after free, locks that are not released on some
# path or taken twice, uses of an iterator after its loop, wrong sizes, tests that cannot fail, and so on.
set -euo pipefail
# shellcheck source=tests/host/lib.sh
. "$(dirname "$0")/lib.sh"

folders='api api/alloc free iterators locks misc null tests'
declare -A left_out=(
	# Written in OCaml, which Debian's spatch has no compiler for.
	[check_bq27xxx_data]=y [badzero]=y
	# More than a minute, for a matter of taste: min() and max().
	[minmax]=y
	# Clocks, buses, device trees, file operations, netlink: nothing that a dm target has.
	[clk_put]=y [devm_free]=y [ifnulldev_put]=y [iounmap]=y [pci_free_consistent]=y [put_device]=y
	[device_attr_show]=y [platform_get_irq]=y [platform_no_drv_owner]=y [pm_runtime]=y [resource_size]=y
	[simple_open]=y [stream_open]=y [vma_pages]=y [d_find_alias]=y [device_node_continue]=y [for_each_child]=y
	[irqf_oneshot]=y [of_table]=y [newline_in_nl_msg]=y
)

dir=$(kernel_scripts)
patches=()
for folder in $folders; do
	for file in "$dir/coccinelle/$folder"/*.cocci; do
		name=$(basename "$file" .cocci)
		[[ ${left_out[$name]:-} ]] || ! grep -q '^virtual.*report' "$file" || patches+=("$file")
	done
done
((${#patches[@]} >= 35)) || fail "only ${#patches[@]} semantic patches"

# What passed once need not be looked at again. No includes are read, so that a file stands for itself.
passed=$cache/coccinelle
mkdir -p "$passed"
find "$passed" -type f -mtime +60 -delete
settings=$(spatch --version; cat "${patches[@]}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/todo"
keys=()
while read -r file; do
	key=$( (echo "$settings"; cat "$file") | sha256sum | cut -d' ' -f1)
	[[ ! -e $passed/$key ]] || continue
	keys+=("$passed/$key")
	mkdir -p "$tmp/todo/$(dirname "$file")"
	cp "$file" "$tmp/todo/$file"
done < <(sources '*.c' '*.h' ':!tools' ':!tests/host' ':!tests/bench')
((${#keys[@]})) || exit 0

# run PATCH: its findings go to a file of that name
run()
{
	local name options

	name=$(basename "$1" .cocci)
	read -ra options < <(sed -n 's,^// *Options: *,,p' "$1"; echo)
	if ! (cd "$tmp/todo" && timeout 600 spatch -D report --very-quiet --no-show-diff --include-headers \
		${options[@]+"${options[@]}"} --cocci-file "$1" --dir .) > "$tmp/$name.out" 2> "$tmp/$name.err"; then
		cat "$tmp/$name.err"
		echo "$name: spatch failed"
		return 1
	fi
	# It prints empty lines, too.
	! sed "/./!d; s/\$/ [$name]/" "$tmp/$name.out" | grep .
}

in_parallel run "${patches[@]}"
touch "${keys[@]}"
echo "${#patches[@]} semantic patches on ${#keys[@]} files"
