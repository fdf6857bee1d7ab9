// SPDX-License-Identifier: GPL-2.0-only
// Loops whose speed on N equal CPUs is known, to test the simulator with.
#include "arguments.h"
#include "marks.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace
{

using pacer::parse;

constexpr const char *kUsage = R"(usage: spin MODE THREADS MS [PHASE]
Each thread is bound to a CPU of its own. Prints operations per second.
loop       2000 instructions for each thread alone: must be linear in THREADS
syscall    1000 instructions and a system call: must be linear
lock       1000 instructions outside and 1000 within a lock that all share: at most 2 x one thread
short-lock 1800 outside and 200 within: at most 10 x
)";

constexpr unsigned kMaxThreads = 64;
constexpr auto kWarmUp = std::chrono::milliseconds(50);

// Six instructions each time around.
void work(long instructions)
{
	constexpr long kPerTurn = 6;
	long turns = instructions / kPerTurn;

	asm volatile("1: nop; nop; nop; nop; dec %0; jnz 1b" : "+r"(turns) : : "cc");
}

// As the kernel's: those who wait form a queue, each spins on a line of its own.
class QueueLock
{
public:
	struct alignas(128) Node {
		std::atomic<Node *> next{nullptr};
		std::atomic<bool> waits{false};
	};

	void lock(Node &node)
	{
		node.next = nullptr;
		node.waits = true;

		Node *const before = tail_.exchange(&node);

		if (before == nullptr)
			return;
		before->next = &node;
		while (node.waits)
			__builtin_ia32_pause();
	}

	void unlock(Node &node)
	{
		Node *expected = &node;

		if (node.next == nullptr) {
			if (tail_.compare_exchange_strong(expected, nullptr))
				return;
			while (node.next == nullptr)
				__builtin_ia32_pause();
		}
		node.next.load()->waits = false;
	}

private:
	std::atomic<Node *> tail_{nullptr};
};

struct alignas(128) Thread {
	std::atomic<std::uint64_t> operations{0};
	QueueLock::Node node;
};

QueueLock shared_lock;

void locked(Thread &self, long outside, long inside)
{
	work(outside);
	shared_lock.lock(self.node);
	work(inside);
	shared_lock.unlock(self.node);
}

const std::map<std::string_view, void (*)(Thread &)> &modes()
{
	static const std::map<std::string_view, void (*)(Thread &)> all{
		{"loop", [](Thread & /*self*/) { work(2000); }},
		{"syscall",
		 [](Thread & /*self*/) {
			 work(1000);
			 syscall(SYS_getppid);
		 }},
		{"lock", [](Thread &self) { locked(self, 1000, 1000); }},
		{"short-lock", [](Thread &self) { locked(self, 1800, 200); }},
	};

	return all;
}

void bind_to(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		throw std::runtime_error("no CPU " + std::to_string(cpu));
}

double run(void (*operation)(Thread &), unsigned count, std::chrono::milliseconds length,
	   unsigned phase)
{
	std::atomic<bool> stop{false};
	std::vector<Thread> threads(count);
	std::vector<std::jthread> running;

	for (unsigned i = 0; i < count; i++)
		running.emplace_back([&, i] {
			bind_to(i);
			while (!stop) {
				operation(threads[i]);
				threads[i].operations++;
			}
		});

	const auto total = [&] {
		std::uint64_t sum = 0;

		for (const Thread &thread : threads)
			sum += thread.operations;
		return sum;
	};

	std::this_thread::sleep_for(kWarmUp);
	pacer::mark<pacer::Command::begin>(phase);

	const std::uint64_t before = total();
	const auto start = std::chrono::steady_clock::now();

	std::this_thread::sleep_for(length);

	const std::uint64_t after = total();
	const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;

	pacer::mark<pacer::Command::end>(phase);
	stop = true;
	return static_cast<double>(after - before) / took.count();
}

} // namespace

int main(int argc, char **argv)
{
	constexpr int kUsageExit = 2;

	try {
		const std::vector<std::string> words(argv + 1, argv + argc);
		const auto mode = words.empty() ? modes().end() : modes().find(words[0]);

		if (mode == modes().end() || words.size() < 3 || words.size() > 4) {
			std::cerr << kUsage;
			return kUsageExit;
		}

		const unsigned threads = parse(words[1]);
		const std::chrono::milliseconds length(parse(words[2]));

		if (threads < 1 || threads > kMaxThreads)
			throw std::invalid_argument("1 to 64 threads");
		std::cout << words[0] << ' ' << threads << ' '
			  << static_cast<std::uint64_t>(run(mode->second, threads, length,
							    words.size() > 3 ? parse(words[3]) : 0))
			  << '\n';
		return 0;
	} catch (const std::exception &error) {
		std::cerr << "spin: " << error.what() << '\n';
		return 1;
	}
}
