/* SPDX-License-Identifier: Apache-2.0 */
/* stranger.c - see stranger.h. */
#include "stranger.h"

bool
is_stranger(const struct ph_call *call, const struct ph_net_list *exempt)
{
	const struct ph_session *session = ph_call_session(call);
	const struct ph_addr *client = ph_session_client(session);

	return strcmp(ph_session_service(session), "smtp") == 0 &&
	    ph_session_user(session) == NULL && client->family != 0 &&
	    !ph_session_may_relay(session) &&
	    !ph_net_list_has(exempt, client);
}
