/*
 * Builder for ACPI Machine Language, the byte code of DSDT and SSDT.
 *
 * Terms are appended to a byte array in the order in which AML wants them.
 * A construct with a package length is opened by a function that returns a
 * mark and closed by aml_end(mark); what is appended in between is inside.
 *
 *	size_t dev = aml_device(a, "RTC");
 *	aml_name(a, "_HID");
 *	aml_eisaid(a, "PNP0B00");
 *	aml_end(a, dev);
 *
 * Source: ACPI specification 6.3, chapter 20 (grammar and opcodes), 6.4
 * (resource descriptors).
 */
#ifndef HW_PC_AML_H
#define HW_PC_AML_H

#include "hw/pc/bytes.h"

enum aml_op {
	AML_ZERO = 0x00, AML_ONE = 0x01, AML_LOCAL0 = 0x60, AML_LOCAL1 = 0x61, AML_ARG0 = 0x68,
	AML_ARG1 = 0x69, AML_ARG3 = 0x6b,
	AML_STORE = 0x70, AML_AND = 0x7b, AML_OR = 0x7d, AML_NOTIFY = 0x86,
	AML_INDEX = 0x88, AML_CREATE_DWORD = 0x8a, AML_LNOT = 0x92, AML_LEQUAL = 0x93,
	AML_RETURN = 0xa4, AML_ONES = 0xff,
};

enum aml_space { AML_SYSTEM_MEMORY, AML_SYSTEM_IO, AML_PCI_CONFIG };

void aml_end(struct bytes *a, size_t mark);

size_t aml_scope(struct bytes *a, const char *path);
size_t aml_device(struct bytes *a, const char *name);
size_t aml_method(struct bytes *a, const char *name, int nargs);
size_t aml_package(struct bytes *a, int n);
size_t aml_processor(struct bytes *a, const char *name, uint8_t id);
/* If (predicate) { ... }: append the predicate first. */
size_t aml_if(struct bytes *a);
size_t aml_else(struct bytes *a);
/* Field (region, access size in bytes, NoLock, Preserve). */
size_t aml_field(struct bytes *a, const char *region, int access);

void aml_op(struct bytes *a, enum aml_op op);
/* A name string used as a term: path with '\\', '^' and '.'. */
void aml_path(struct bytes *a, const char *path);
/* Name (path, ...): the object follows. */
void aml_name(struct bytes *a, const char *path);
void aml_int(struct bytes *a, uint64_t v);
void aml_string(struct bytes *a, const char *s);
void aml_eisaid(struct bytes *a, const char *id);
void aml_region(struct bytes *a, const char *name, enum aml_space space, uint64_t off, uint64_t len);
void aml_field_unit(struct bytes *a, const char *name, int nbits);
void aml_buffer(struct bytes *a, const struct bytes *content);

/* Resource descriptors, into a byte array of their own; then aml_template(). */
void res_io(struct bytes *r, uint16_t base, uint8_t len);
void res_irq(struct bytes *r, uint16_t mask);
void res_dma(struct bytes *r, uint8_t mask);
void res_mem32(struct bytes *r, uint32_t base, uint32_t len);
/* Extended interrupt: level, active high, shared; n numbers. */
void res_interrupts(struct bytes *r, const uint32_t *irq, int n);
void res_bus_range(struct bytes *r, uint16_t min, uint16_t max);
void res_io_window(struct bytes *r, uint16_t min, uint16_t max);
void res_mem_window(struct bytes *r, uint32_t min, uint32_t max, int cacheable);
void res_mem64_window(struct bytes *r, uint64_t min, uint64_t max);
/* ResourceTemplate () { ... }; empties r. */
void aml_template(struct bytes *a, struct bytes *r);

#endif
