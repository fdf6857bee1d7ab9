/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stock kcopyd and ours behind one table, so that tests and benchmark drive either.
 */
#ifndef DM_SCALED_COPY_ENGINE_H
#define DM_SCALED_COPY_ENGINE_H

#include <linux/string.h>

#include "dm-kcopyd-mq.h"

union copy_throttle {
	struct dm_kcopyd_throttle stock;
	struct dm_kcopyd_mq_throttle mq;
};

struct copy_engine {
	const char *name;
	bool per_cpu;	/* jobs and callbacks stay on the submitting CPU */

	void (*throttle_init)(union copy_throttle *ct);
	void (*throttle_set)(union copy_throttle *ct, unsigned int percent);
	void *(*create)(union copy_throttle *ct);
	/* Lets the device copy, if the engine can have it do that; right after @create. */
	void (*offload)(void *kc, struct block_device *from, struct block_device *to);
	void (*destroy)(void *kc);
	void (*flush)(void *kc);
	void (*copy)(void *kc, const struct dm_io_region *from, unsigned int num_dests,
		     const struct dm_io_region *dests, unsigned int flags,
		     dm_kcopyd_notify_fn fn, void *context);
	void (*zero)(void *kc, unsigned int num_dests, const struct dm_io_region *dests,
		     unsigned int flags, dm_kcopyd_notify_fn fn, void *context);
	void *(*prepare_callback)(void *kc, dm_kcopyd_notify_fn fn, void *context);
	void (*do_callback)(void *job, int read_err, unsigned long write_err);
};

static inline void stock_throttle_init(union copy_throttle *ct)
{
	ct->stock = (struct dm_kcopyd_throttle) { .throttle = 100 };
}

static inline void stock_throttle_set(union copy_throttle *ct, unsigned int percent)
{
	WRITE_ONCE(ct->stock.throttle, percent);
}

static inline void *stock_create(union copy_throttle *ct)
{
	return dm_kcopyd_client_create(ct ? &ct->stock : NULL);
}

static inline void stock_offload(void *kc, struct block_device *from, struct block_device *to)
{
}

static inline void stock_destroy(void *kc)
{
	dm_kcopyd_client_destroy(kc);
}

static inline void stock_flush(void *kc)
{
	dm_kcopyd_client_flush(kc);
}

/* Some kernels declare regions that stock only reads as not const. */
static inline void stock_copy(void *kc, const struct dm_io_region *from, unsigned int num_dests,
			      const struct dm_io_region *dests, unsigned int flags,
			      dm_kcopyd_notify_fn fn, void *context)
{
	dm_kcopyd_copy(kc, (struct dm_io_region *)from, num_dests, (struct dm_io_region *)dests,
		       flags, fn, context);
}

static inline void stock_zero(void *kc, unsigned int num_dests, const struct dm_io_region *dests,
			      unsigned int flags, dm_kcopyd_notify_fn fn, void *context)
{
	dm_kcopyd_zero(kc, num_dests, (struct dm_io_region *)dests, flags, fn, context);
}

static inline void *stock_prepare_callback(void *kc, dm_kcopyd_notify_fn fn, void *context)
{
	return dm_kcopyd_prepare_callback(kc, fn, context);
}

static inline void mq_throttle_init(union copy_throttle *ct)
{
	memset(&ct->mq, 0, sizeof(ct->mq));
	ct->mq.throttle = 100;
	spin_lock_init(&ct->mq.lock);
}

static inline void mq_throttle_set(union copy_throttle *ct, unsigned int percent)
{
	WRITE_ONCE(ct->mq.throttle, percent);
}

static inline void *mq_create(union copy_throttle *ct)
{
	return dm_kcopyd_mq_client_create(ct ? &ct->mq : NULL);
}

static inline void mq_offload(void *kc, struct block_device *from, struct block_device *to)
{
	dm_kcopyd_mq_client_offload(kc, from, to);
}

static inline void mq_destroy(void *kc)
{
	dm_kcopyd_mq_client_destroy(kc);
}

static inline void mq_flush(void *kc)
{
	dm_kcopyd_mq_client_flush(kc);
}

static inline void mq_copy(void *kc, const struct dm_io_region *from, unsigned int num_dests,
			   const struct dm_io_region *dests, unsigned int flags,
			   dm_kcopyd_notify_fn fn, void *context)
{
	dm_kcopyd_mq_copy(kc, from, num_dests, dests, flags, fn, context);
}

static inline void mq_zero(void *kc, unsigned int num_dests, const struct dm_io_region *dests,
			   unsigned int flags, dm_kcopyd_notify_fn fn, void *context)
{
	dm_kcopyd_mq_zero(kc, num_dests, dests, flags, fn, context);
}

static inline void *mq_prepare_callback(void *kc, dm_kcopyd_notify_fn fn, void *context)
{
	return dm_kcopyd_mq_prepare_callback(kc, fn, context);
}

static const struct copy_engine copy_engines[] = {
	{
		.name = "stock",
		.throttle_init = stock_throttle_init,
		.throttle_set = stock_throttle_set,
		.create = stock_create,
		.offload = stock_offload,
		.destroy = stock_destroy,
		.flush = stock_flush,
		.copy = stock_copy,
		.zero = stock_zero,
		.prepare_callback = stock_prepare_callback,
		.do_callback = dm_kcopyd_do_callback,
	}, {
		.name = "mq",
		.per_cpu = true,
		.throttle_init = mq_throttle_init,
		.throttle_set = mq_throttle_set,
		.create = mq_create,
		.offload = mq_offload,
		.destroy = mq_destroy,
		.flush = mq_flush,
		.copy = mq_copy,
		.zero = mq_zero,
		.prepare_callback = mq_prepare_callback,
		.do_callback = dm_kcopyd_mq_do_callback,
	},
};

static inline const struct copy_engine *copy_engine_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(copy_engines); i++) {
		if (!strcmp(copy_engines[i].name, name))
			return &copy_engines[i];
	}

	return NULL;
}

#endif /* DM_SCALED_COPY_ENGINE_H */
