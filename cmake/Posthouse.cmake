# SPDX-License-Identifier: Apache-2.0
# Flags, dependencies and the three words the rest of the tree is built with:
# ph_core(folder), ph_module(name), ph_unit_test(name).

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

option(PH_SANITIZE "Build with AddressSanitizer and UBSan" OFF)
option(PH_TESTS "Build the unit tests" ON)
option(PH_FUZZ "Build the libFuzzer targets (clang)" OFF)

add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wmissing-prototypes
	-Wstrict-prototypes -Wvla -Werror -fno-strict-aliasing
	-fno-omit-frame-pointer -ffunction-sections
	-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_compile_definitions(_GNU_SOURCE)
if(PH_SANITIZE)
	add_compile_options(-fsanitize=address,undefined
		-fno-sanitize-recover=undefined)
	add_link_options(-fsanitize=address,undefined)
else()
	add_compile_options(-fstack-protector-strong
		$<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>
		-fstack-clash-protection -fcf-protection)
	add_link_options(-Wl,-z,relro -Wl,-z,now)
endif()
include_directories(${CMAKE_SOURCE_DIR}/sdk/include)

find_program(CCACHE ccache)
if(CCACHE)
	set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(LIBCONFIG REQUIRED IMPORTED_TARGET libconfig)
pkg_check_modules(GSASL REQUIRED IMPORTED_TARGET libgsasl)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(LIBIDN2 REQUIRED IMPORTED_TARGET libidn2)
pkg_check_modules(LIBSYSTEMD IMPORTED_TARGET libsystemd)
if(PH_TESTS)
	pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
	enable_testing()
endif()

# As PH_CONF_FILE has it: below /usr the configuration is in /etc. Elsewhere it
# stays relative, so that cmake --install --prefix can move it.
set(PH_CONF_DIR ${CMAKE_INSTALL_SYSCONFDIR}/posthouse)
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
	set(PH_CONF_DIR ${CMAKE_INSTALL_FULL_SYSCONFDIR}/posthouse)
endif()
set(PH_MODULE_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/posthouse)

# ph_module(NAME sources...): modules/NAME as NAME.so; SDK headers only. Its
# *.session files are run by the plugin harness.
function(ph_module name)
	add_library(${name} MODULE ${ARGN})
	set_target_properties(${name} PROPERTIES PREFIX ""
		LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
	target_link_libraries(${name} PRIVATE posthouse)
	install(TARGETS ${name} LIBRARY DESTINATION
		${CMAKE_INSTALL_LIBDIR}/posthouse)
	file(GLOB sessions CONFIGURE_DEPENDS
		${CMAKE_CURRENT_SOURCE_DIR}/*.session)
	if(PH_TESTS AND sessions)
		add_test(NAME session_${name} COMMAND posthouse_sdk run
			$<TARGET_FILE:${name}> ${sessions})
		set_tests_properties(session_${name} PROPERTIES TIMEOUT 900)
	endif()
	file(GLOB man CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.8)
	install(FILES ${man} DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
endfunction()

# ph_unit_test(NAME SOURCES a.c b.c LIBS x y): a libcheck program, run by ctest
# under the name NAME. Link posthouse_core for internals.
function(ph_unit_test name)
	if(NOT PH_TESTS)
		return()
	endif()
	cmake_parse_arguments(T "" "" "SOURCES;LIBS" ${ARGN})
	add_executable(${name} ${T_SOURCES})
	target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/core)
	target_compile_options(${name} PRIVATE -Wno-missing-prototypes)
	target_link_libraries(${name} PRIVATE ${T_LIBS} PkgConfig::CHECK)
	add_test(NAME ${name} COMMAND ${name})
	set_tests_properties(${name} PROPERTIES TIMEOUT 900
		ENVIRONMENT "CK_DEFAULT_TIMEOUT=200;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
