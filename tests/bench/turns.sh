# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# For the host's side of measurements in a VM in which stock and ours take turns; turns-guest.sh is the other side.

# turns_values FILE WHAT TARGET: of all rounds, in their order
turns_values()
{
	awk -F, -v w="$2" -v t="$3" '$1 == w && $3 == t { print $4 }' "$1"
}

# turns_table FILE ROUNDS: medians of what was measured; a ratio is the median of those of the rounds.
turns_table()
{
	local file=$1 what unit

	printf '%-34s %12s %12s %14s\n' '' stock dm-scaled 'stock / ours'
	while IFS=, read -r what unit; do
		printf '%-34s %12.6g %12.6g %14.2f\n' "$what, $unit" "$(turns_values "$file" "$what" stock | median)" \
			"$(turns_values "$file" "$what" ours | median)" \
			"$(paste <(turns_values "$file" "$what" stock) <(turns_values "$file" "$what" ours) |
				awk '$2 { print $1 / $2 }' | median)"
	done < <(awk -F, '!seen[$1]++ { print $1 "," $5 }' "$file")
	echo "medians of $2 rounds; all of them: $file"
}
