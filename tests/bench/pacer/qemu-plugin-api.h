// SPDX-License-Identifier: GPL-2.0-only
// The part of QEMU's TCG plugin interface, version 1, that the pacer uses. Debian has no package
// with the header. The functions are found in the program that loads the plugin.
#ifndef PACER_QEMU_PLUGIN_API_H
#define PACER_QEMU_PLUGIN_API_H

#include <cstddef>
#include <cstdint>

extern "C" {

using qemu_plugin_id_t = std::uint64_t;

struct qemu_info_t {
	const char *target_name;
	struct {
		int min;
		int cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus;
		int max_vcpus;
	} system;
};

// A translated block of guest code, and an instruction in it; both only while it is translated.
struct qemu_plugin_tb;
struct qemu_plugin_insn;

enum qemu_plugin_cb_flags : std::uint8_t { QEMU_PLUGIN_CB_NO_REGS };

using qemu_plugin_tb_trans = void (*)(qemu_plugin_id_t, qemu_plugin_tb *);
using qemu_plugin_exec = void (*)(unsigned int vcpu, void *userdata);
using qemu_plugin_exit = void (*)(qemu_plugin_id_t, void *userdata);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_tb_trans callback);
// Called before the block, or the instruction, is executed.
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb *tb, qemu_plugin_exec callback,
					  qemu_plugin_cb_flags flags, void *userdata);
void qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_insn *insn, qemu_plugin_exec callback,
					    qemu_plugin_cb_flags flags, void *userdata);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, qemu_plugin_exit callback, void *userdata);

std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *tb);
std::uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb *tb);
qemu_plugin_insn *qemu_plugin_tb_get_insn(const qemu_plugin_tb *tb, std::size_t index);
const void *qemu_plugin_insn_data(const qemu_plugin_insn *insn);
std::size_t qemu_plugin_insn_size(const qemu_plugin_insn *insn);
std::uint64_t qemu_plugin_insn_vaddr(const qemu_plugin_insn *insn);

} // extern "C"

#endif // PACER_QEMU_PLUGIN_API_H
