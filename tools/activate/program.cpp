// SPDX-License-Identifier: GPL-2.0-only
#include "program.h"

#include <array>
#include <cerrno>
#include <system_error>

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dmsc
{

namespace
{

[[noreturn]] void fail(int error, const std::string &what)
{
	throw std::system_error(error, std::generic_category(), what);
}

// A file without a name, with what the program reads or writes: no pipe can be full or broken.
class Text
{
public:
	explicit Text(const std::string &contents = "")
		: fd_(::memfd_create("dmsc-tab", MFD_CLOEXEC))
	{
		if (fd_ < 0)
			fail(errno, "memfd_create");
		if (::write(fd_, contents.data(), contents.size()) !=
			    static_cast<ssize_t>(contents.size()) ||
		    ::lseek(fd_, 0, SEEK_SET) < 0)
			fail(errno, "memfd");
	}
	~Text() { ::close(fd_); }
	Text(const Text &) = delete;
	Text(Text &&) = delete;
	Text &operator=(const Text &) = delete;
	Text &operator=(Text &&) = delete;

	[[nodiscard]] int get() const { return fd_; }

	[[nodiscard]] std::string contents() const
	{
		std::string all;
		std::array<char, 4096> part{};
		ssize_t size = 0;

		while ((size = ::pread(fd_, part.data(), part.size(),
				       static_cast<off_t>(all.size()))) > 0)
			all.append(part.data(), static_cast<std::size_t>(size));
		return all;
	}

private:
	int fd_;
};

class Actions
{
public:
	Actions() { ::posix_spawn_file_actions_init(&actions_); }
	~Actions() { ::posix_spawn_file_actions_destroy(&actions_); }
	Actions(const Actions &) = delete;
	Actions(Actions &&) = delete;
	Actions &operator=(const Actions &) = delete;
	Actions &operator=(Actions &&) = delete;

	void use(const Text &text, int fd)
	{
		::posix_spawn_file_actions_adddup2(&actions_, text.get(), fd);
	}
	[[nodiscard]] const posix_spawn_file_actions_t *get() const { return &actions_; }

private:
	posix_spawn_file_actions_t actions_{};
};

} // namespace

Outcome run_program(const std::vector<std::string> &words, const std::string &input)
{
	const Text in(input);
	const Text out;
	const Text err;
	Actions actions;
	std::vector<char *> arguments;
	int status = 0;
	pid_t pid = 0;

	actions.use(in, STDIN_FILENO);
	actions.use(out, STDOUT_FILENO);
	actions.use(err, STDERR_FILENO);
	arguments.reserve(words.size() + 1);
	for (const auto &word : words)
		arguments.push_back(const_cast<char *>(word.c_str())); // as exec() has it
	arguments.push_back(nullptr);
	if (const int error = ::posix_spawnp(&pid, arguments[0], actions.get(), nullptr,
					     arguments.data(), environ))
		fail(error, words[0]);
	while (::waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail(errno, words[0]);
	return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out.contents(),
		err.contents()};
}

} // namespace dmsc
