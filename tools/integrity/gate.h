// SPDX-License-Identifier: GPL-2.0-only
// Lets operations pass, or holds them all back while the set of devices changes.
#ifndef DMSC_GATE_H
#define DMSC_GATE_H

#include <condition_variable>
#include <mutex>

namespace dmsc
{

// Not std::shared_mutex: with many threads in turn inside, one that closes it could wait for ever.
class Gate
{
public:
	class Pass
	{
	public:
		explicit Pass(Gate &gate) : gate_(gate)
		{
			std::unique_lock held(gate_.mutex_);

			gate_.changed_.wait(held, [&] { return !gate_.closed_; });
			gate_.inside_++;
		}
		~Pass()
		{
			const std::lock_guard held(gate_.mutex_);

			if (--gate_.inside_ == 0)
				gate_.changed_.notify_all();
		}
		Pass(const Pass &) = delete;
		Pass &operator=(const Pass &) = delete;

	private:
		Gate &gate_;
	};

	// Only one thread closes the gate.
	class Closed
	{
	public:
		explicit Closed(Gate &gate) : gate_(gate)
		{
			std::unique_lock held(gate_.mutex_);

			gate_.closed_ = true;
			gate_.changed_.wait(held, [&] { return gate_.inside_ == 0; });
		}
		~Closed()
		{
			const std::lock_guard held(gate_.mutex_);

			gate_.closed_ = false;
			gate_.changed_.notify_all();
		}
		Closed(const Closed &) = delete;
		Closed &operator=(const Closed &) = delete;

	private:
		Gate &gate_;
	};

private:
	std::mutex mutex_;
	std::condition_variable changed_;
	unsigned inside_ = 0;
	bool closed_ = false;
};

} // namespace dmsc

#endif // DMSC_GATE_H
