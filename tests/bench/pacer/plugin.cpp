// SPDX-License-Identifier: GPL-2.0-only
// What QEMU calls: see scheduler.h for what the pacer does.
#include "decode.h"
#include "mark.h"
#include "qemu-plugin-api.h"
#include "qemu.h"
#include "report.h"
#include "scheduler.h"
#include "settings.h"

#include <array>
#include <bit>
#include <cstddef>
#include <deque>
#include <exception>
#include <iostream>
#include <mutex>
#include <new>
#include <span>

namespace
{

struct Plugin {
	Plugin(const pacer::Settings &settings, unsigned cpus)
		: scheduler(settings, cpus, qemu), report(settings, qemu.version(), cpus)
	{
	}

	pacer::Qemu qemu;
	pacer::Scheduler scheduler;
	pacer::Report report;
	// What callbacks are given a pointer to. Blocks are translated seldom, and none is
	// forgotten.
	std::mutex lock;
	std::deque<pacer::Block> blocks;
};

// QEMU's callbacks have no other way to find it. It is never destroyed: QEMU asks for the time to
// the very end.
alignas(Plugin) std::array<std::byte, sizeof(Plugin)> storage;
Plugin *plugin;

void on_block(unsigned vcpu, void *userdata)
{
	plugin->scheduler.on_block(vcpu, *static_cast<const pacer::Block *>(userdata));
}

void on_pause(unsigned vcpu, void *userdata)
{
	plugin->scheduler.on_pause(vcpu, std::bit_cast<std::uint64_t>(userdata));
}

void on_halt(unsigned vcpu, void * /*userdata*/)
{
	plugin->scheduler.on_halt(vcpu);
}

constexpr unsigned kPhaseShift = 8;
constexpr unsigned kCommandMask = 0xff;

void on_mark(unsigned vcpu, void *userdata)
{
	const auto value = std::bit_cast<std::uintptr_t>(userdata);
	const auto phase = static_cast<unsigned>(value >> kPhaseShift);

	try {
		switch (static_cast<pacer::Command>(value & kCommandMask)) {
		case pacer::Command::on:
			plugin->scheduler.start(vcpu);
			break;
		case pacer::Command::off:
			plugin->scheduler.stop();
			break;
		case pacer::Command::begin:
			plugin->report.begin(phase, plugin->scheduler);
			break;
		case pacer::Command::end:
			plugin->report.end(phase, plugin->scheduler);
			plugin->report.write();
			break;
		}
	} catch (const std::exception &error) {
		plugin->report.add_problem(error.what());
	}
}

void add_callback(qemu_plugin_insn *instruction, const pacer::Instruction &decoded)
{
	const auto add = [&](qemu_plugin_exec callback, std::uint64_t userdata) {
		qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback,
						       QEMU_PLUGIN_CB_NO_REGS,
						       std::bit_cast<void *>(userdata));
	};

	switch (decoded.kind) {
	case pacer::Kind::pause:
		add(on_pause, qemu_plugin_insn_vaddr(instruction));
		break;
	case pacer::Kind::halt:
		add(on_halt, 0);
		break;
	case pacer::Kind::mark:
		add(on_mark, decoded.command | decoded.phase << kPhaseShift);
		break;
	case pacer::Kind::plain:
	case pacer::Kind::rep_move:
		break;
	}
}

void on_translation(qemu_plugin_id_t /*id*/, qemu_plugin_tb *tb)
{
	constexpr unsigned kSignBit = 63;
	const std::uint64_t pc = qemu_plugin_tb_vaddr(tb);
	const std::size_t count = qemu_plugin_tb_n_insns(tb);
	pacer::Block block{pc, static_cast<std::uint32_t>(count), 0, pc >> kSignBit != 0};

	for (std::size_t i = 0; i < count; i++) {
		qemu_plugin_insn *const instruction = qemu_plugin_tb_get_insn(tb, i);
		const auto *const bytes =
			static_cast<const std::uint8_t *>(qemu_plugin_insn_data(instruction));
		const pacer::Instruction decoded =
			pacer::decode({bytes, qemu_plugin_insn_size(instruction)});

		add_callback(instruction, decoded);
		// QEMU executes each iteration but the first as a block of its own.
		if (count == 1)
			block.rep_width = decoded.width;
	}

	const std::lock_guard guard(plugin->lock);

	plugin->blocks.push_back(block);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS,
					     &plugin->blocks.back());
}

void on_exit(qemu_plugin_id_t /*id*/, void * /*userdata*/)
{
	plugin->report.finish();
	plugin->report.write();
}

} // namespace

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED extern const int qemu_plugin_version;
const int qemu_plugin_version = 1;

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
				 char **argv);

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	try {
		if (!info->system_emulation || std::string_view(info->target_name) != "x86_64")
			throw pacer::Error("only for qemu-system-x86_64");
		plugin = new (storage.data())
			Plugin(pacer::parse_settings({argv, static_cast<std::size_t>(argc)}),
			       static_cast<unsigned>(info->system.smp_vcpus));
		plugin->qemu.replace({
			.ticks = [] { return plugin->scheduler.read_ticks(); },
			.clock_ns = [] { return plugin->scheduler.read_clock_ns(); },
			.poll =
				[](pollfd *files, unsigned count, std::int64_t timeout_ns) {
					return plugin->scheduler.poll(files, count, timeout_ns);
				},
		});
	} catch (const std::exception &error) {
		std::cerr << "pacer: " << error.what() << '\n';
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, on_exit, nullptr);
	return 0;
}

} // extern "C"
