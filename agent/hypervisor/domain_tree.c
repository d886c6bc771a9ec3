/* SPDX-License-Identifier: Apache-2.0 */
/* See domain_tree.h. From text to a tree, and the fields of it: nothing is fetched, nothing is cut.
 * Pure; any thread. */
#include "agent/hypervisor/domain_tree.h"

#include "agent/hypervisor/domain_xml.h"
#include "common/alloc.h"
#include "common/cleanup.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

static void free_parser(xmlParserCtxt **parser)
{
	xmlFreeParserCtxt(*parser);
}

/* Called before any declaration is read: no entity ever comes into being. */
static void refuse_doctype(void *context, const xmlChar *name, const xmlChar *external_id,
                           const xmlChar *system_id)
{
	xmlParserCtxt *parser = context;

	(void)name;
	(void)external_id;
	(void)system_id;
	*(bool *)parser->_private = true;
	xmlStopParser(parser);
}

int domain_tree_parse(const char *xml, size_t bytes, const char *root, xmlDoc **ret_document,
                      struct error *err)
{
	__attribute__((cleanup(free_parser))) xmlParserCtxt *parser = NULL;
	_cleanup_document_ xmlDoc *document = NULL;
	bool doctype = false;

	if (bytes > DOMAIN_XML_BYTES)
		return error_set(err, ERROR_TOO_LARGE,
		                 "the %s XML has %zu bytes; at most %d are read", root, bytes,
		                 DOMAIN_XML_BYTES);
	/* The parser would stop there and call what came before it the document. */
	if (memchr(xml, 0, bytes))
		return error_set(err, ERROR_INVALID, "the %s XML is malformed: it has a zero byte",
		                 root);
	/* The parser wants its tables set up before threads use it; this is safe to repeat. */
	xmlInitParser();
	parser = xmlNewParserCtxt();
	assert(parser);
	parser->_private = &doctype;
	parser->sax->internalSubset = refuse_doctype;
	document = xmlCtxtReadMemory(parser, xml, (int)bytes, NULL, "UTF-8",
	                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
	                                     XML_PARSE_NOBLANKS);
	if (doctype)
		return error_set(err, ERROR_INVALID, "the %s XML has a DOCTYPE; none is accepted",
		                 root);
	if (!document || !parser->wellFormed) {
		const xmlError *why = xmlCtxtGetLastError(parser);
		size_t length = why && why->message ? strcspn(why->message, "\n") : 0;

		return error_set(err, ERROR_INVALID, "the %s XML is malformed: line %d: %.*s", root,
		                 why ? why->line : 0, length ? (int)length : 12,
		                 length ? why->message : "no document");
	}
	if (!domain_tree_is(xmlDocGetRootElement(document), root))
		return error_set(err, ERROR_INVALID, "the XML is <%.64s>, not <%s>",
		                 (const char *)xmlDocGetRootElement(document)->name, root);
	*ret_document = take_pointer(document);
	return 0;
}

/* Keeps the first problem. */
void domain_reject(struct domain_reader *r, int result)
{
	if (!r->result)
		r->result = result;
}

/* Puts @text into a field, whole or not at all. NULL is the empty text. */
void domain_read_text(struct domain_reader *r, const char *what, const char *text, char *to,
                      size_t bytes)
{
	size_t length = text ? strlen(text) : 0;

	if (length < bytes) {
		memcpy(to, text ? text : "", length + 1);
		return;
	}
	if (!r->result)
		domain_reject(r, error_set(r->err, ERROR_TOO_LARGE,
		                           "%s has %zu bytes; at most %zu are handled", what,
		                           length, bytes - 1));
}

void domain_read_attribute(struct domain_reader *r, xmlNode *node, const char *name,
                           const char *what, char *to, size_t bytes)
{
	_cleanup_xml_ xmlChar *value = domain_tree_attribute(node, name);

	domain_read_text(r, what, (const char *)value, to, bytes);
}

void domain_read_content(struct domain_reader *r, xmlNode *node, const char *what, char *to,
                         size_t bytes)
{
	_cleanup_xml_ xmlChar *value = node ? xmlNodeGetContent(node) : NULL;

	domain_read_text(r, what, (const char *)value, to, bytes);
}

bool domain_parse_number(const char *text, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	if (!text)
		return false;
	text += strspn(text, " \t\n");
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end[strspn(end, " \t\n")])
		return false;
	*ret = value;
	return true;
}

/* libvirt's units of memory; its own output has KiB throughout. */
static const struct {
	const char *name;
	uint64_t bytes;
} memory_units[] = {
	{ "KiB", KIB },
	{ "k", KIB },
	{ "b", 1 },
	{ "bytes", 1 },
	{ "KB", 1000 },
	{ "MiB", MIB },
	{ "M", MIB },
	{ "MB", 1000 * 1000 },
	{ "GiB", GIB },
	{ "G", GIB },
	{ "GB", 1000 * 1000 * 1000 },
	{ "TiB", 1024 * GIB },
	{ "T", 1024 * GIB },
	{ "TB", 1000000000000 },
};

/* An amount with the attribute @unit_name of the same node. */
uint64_t domain_read_amount(struct domain_reader *r, xmlNode *node, const char *what,
                            const char *text)
{
	_cleanup_xml_ xmlChar *unit = domain_tree_attribute(node, "unit");
	uint64_t number, bytes;

	if (!domain_parse_number(text, &number)) {
		if (!r->result)
			domain_reject(r, error_set(r->err, ERROR_INVALID,
			                           "%s is \"%.32s\", not a number", what,
			                           text ? text : ""));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(memory_units); i++) {
		if (strcmp(unit ? (const char *)unit : "KiB", memory_units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, memory_units[i].bytes, &bytes))
			break;
		return bytes;
	}
	if (!r->result)
		domain_reject(r,
		              error_set(r->err, ERROR_INVALID, "%s is \"%.32s\" in unit \"%.16s\"",
		                        what, text, unit ? (const char *)unit : "KiB"));
	return 0;
}
