/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - packets of the milter protocol, version 6: a length, a letter and
 * what belongs to it, over a stream. All functions suspend, and answer PH_OK or
 * what ended the connection.
 */
#ifndef CHECK_MILTER_WIRE_H
#define CHECK_MILTER_WIRE_H

#include <posthouse/stream.h>

enum wire_command {
	WIRE_OPTIONS = 'O', WIRE_MACROS = 'D', WIRE_CONNECT = 'C',
	WIRE_HELO = 'H', WIRE_MAIL = 'M', WIRE_RCPT = 'R', WIRE_DATA = 'T',
	WIRE_HEADER = 'L', WIRE_HEADER_END = 'N', WIRE_BODY = 'B',
	WIRE_BODY_END = 'E', WIRE_ABORT = 'A',
};

enum wire_reply {
	REPLY_CONTINUE = 'c', REPLY_ACCEPT = 'a', REPLY_REJECT = 'r',
	REPLY_TEMPFAIL = 't', REPLY_DISCARD = 'd', REPLY_CODE = 'y',
	REPLY_PROGRESS = 'p', REPLY_SKIP = 's', REPLY_CONN_FAIL = 'f',
	REPLY_SHUTDOWN = '4',
	/* at the end of the body, before one of these */
	REPLY_ADD_HEADER = 'h', REPLY_INSERT_HEADER = 'i',
	REPLY_CHANGE_HEADER = 'm', REPLY_ADD_RCPT = '+',
	REPLY_ADD_RCPT_ARGS = '2', REPLY_REMOVE_RCPT = '-',
	REPLY_REPLACE_BODY = 'b', REPLY_CHANGE_FROM = 'e',
	REPLY_QUARANTINE = 'q',
};

enum { WIRE_BODY_MAX = 65535 };

struct wire {
	struct ph_stream *stream;
	unsigned timeout_ms; /* for one answer */
};

struct wire_packet {
	char letter;
	struct ph_slice data;
};

/* Queue one packet (copied). */
int wire_send(const struct wire *wire, char letter, struct ph_slice data);
/* The next one, in the arena; PH_PROTOCOL: that is none. */
int wire_receive(const struct wire *wire, struct ph_arena *arena,
    struct wire_packet *packet_out);

/* A text with its NUL. */
void wire_put_text(struct ph_buf *buf, struct ph_slice text);
void wire_put_number(struct ph_buf *buf, uint32_t number);
/* The text that *rest begins with, up to its NUL; absent: none. */
struct ph_slice wire_take_text(struct ph_slice *rest);
uint32_t wire_take_number(struct ph_slice *rest);

#endif
