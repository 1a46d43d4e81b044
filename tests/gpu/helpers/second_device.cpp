// A second device for machines that have no other one: memory of the CPU under another name.
//
// Operators run on the CPU, on copies, but what CUDA refuses is refused: operands on several
// devices, generators of the CPU, `.numpy()`. Its random numbers are not those of the CPU.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

constexpr auto TYPE = c10::DeviceType::PrivateUse1;
constexpr auto KEY = c10::DispatchKey::PrivateUse1;
const c10::Device HERE(TYPE, 0);

bool here(const at::Tensor& tensor) { return tensor.defined() && tensor.device().type() == TYPE; }

// Numbers with no dimension go with any device, as they do with CUDA.
bool elsewhere(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() && tensor.dim() > 0;
}

struct Guard final : c10::impl::NoOpDeviceGuardImpl<TYPE> {
  c10::Device exchangeDevice(c10::Device) const override { return HERE; }
  c10::Device getDevice() const override { return HERE; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, HERE); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto kept = c10::GetDefaultCPUAllocator()->allocate(bytes);
    auto* data = kept.get();
    auto* context = kept.release_context();
    return {data, context, c10::GetDefaultCPUAllocator()->raw_deleter(), HERE};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return c10::GetDefaultCPUAllocator()->raw_deleter();
  }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

Memory memory;
REGISTER_ALLOCATOR(TYPE, &memory);

struct Generator final : at::CPUGeneratorImpl {
  explicit Generator(uint64_t seed = 1234567) : CPUGeneratorImpl(seed) {
    device_ = HERE;
    key_set_ = c10::DispatchKeySet(KEY);
  }
};

const at::Generator& drawn_from() {
  static const auto ours = at::make_generator<Generator>();
  return ours;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return drawn_from();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<Generator>();
  }
};

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, c10::DispatchKeySet(KEY),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, c10::DispatchKeySet(KEY),
                                           c10::dtype_or_default(dtype));
}

// The same memory as a tensor of the CPU.
at::Tensor on_the_cpu(const at::Tensor& tensor) {
  if (!here(tensor)) return tensor;
  auto options = tensor.options().device(at::kCPU);
  auto same = at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
  same._set_conj(tensor.is_conj());
  same._set_neg(tensor.is_neg());
  return same;
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  on_the_cpu(to).copy_(on_the_cpu(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& tensor) { return on_the_cpu(tensor).item(); }

void refuse(const c10::OperatorHandle& op) {
  TORCH_CHECK(false, "Expected all tensors to be on the same device, but found at least two "
              "devices, second:0 and cpu! (in ", op.operator_name(), ")");
}

// Indices may be on the CPU where what they point into is here, and lengths of packed sequences.
bool exempt(const c10::OperatorHandle& op, const c10::IValue& first, const c10::IValue& argument) {
  const auto& name = op.schema().name();
  if (name == "aten::_pack_padded_sequence") return true;
  return name.find("index") != std::string::npos && argument.isList() && here(first.toTensor());
}

void all_here(const c10::OperatorHandle& op, c10::ArrayRef<c10::IValue> arguments) {
  for (const auto& argument : arguments) {
    if (argument.isTensor() && elsewhere(argument.toTensor()) && !exempt(op, arguments[0], argument))
      refuse(op);
    if (!argument.isList() || exempt(op, arguments[0], argument)) continue;
    for (const auto& each : argument.toListRef())
      if (each.isTensor() && elsewhere(each.toTensor())) refuse(op);
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& expected = op.schema().arguments();
  const auto begin = stack->size() - expected.size();
  all_here(op, torch::jit::last(*stack, expected.size()));
  for (size_t place = 0; place < expected.size(); ++place) {
    if (expected[place].name() != "generator") continue;
    auto& given = (*stack)[begin + place];
    const auto ours = given.isNone() ? drawn_from() : given.toGenerator();
    TORCH_CHECK(ours.device().type() == TYPE,
                "Expected a 'second' device type for generator but found '", ours.device(), "'");
    auto twin = at::make_generator<at::CPUGeneratorImpl>();
    twin.set_state(ours.get_state());
    given = twin;
    at::native::cpu_fallback(op, stack);
    at::Generator(ours).set_state(twin.get_state());
    return;
  }
  at::native::cpu_fallback(op, stack);
}

int64_t plain_maths(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                    const std::optional<at::Tensor>&, double, bool, std::optional<double>, bool) {
  return static_cast<int64_t>(at::SDPBackend::math);
}

at::Tensor with_biases(const at::Tensor& gates, const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? gates + *bias : gates;
}

// The CPU has no such cells; out of differentiable operators they need no backward of their own.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(
    const at::Tensor& inputs, const at::Tensor& hidden, const at::Tensor& cx,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  auto gates = with_biases(inputs, input_bias) + with_biases(hidden, hidden_bias);
  auto part = gates.chunk(4, 1);
  auto cy = part[1].sigmoid() * cx + part[0].sigmoid() * part[2].tanh();
  return {part[3].sigmoid() * cy.tanh(), cy, gates};
}

std::tuple<at::Tensor, at::Tensor> gru_cell(
    const at::Tensor& inputs, const at::Tensor& hidden, const at::Tensor& hx,
    const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  auto in = with_biases(inputs, input_bias).chunk(3, 1);
  auto of = with_biases(hidden, hidden_bias).chunk(3, 1);
  auto fresh = (in[2] + (in[0] + of[0]).sigmoid() * of[2]).tanh();
  return {fresh + (in[1] + of[1]).sigmoid() * (hx - fresh), fresh};
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  auto on = bias && bias->defined() ? std::optional(on_the_cpu(*bias)) : std::nullopt;
  return at::convolution(on_the_cpu(input), on_the_cpu(weight), on, stride, padding, dilation,
                         transposed, output_padding, groups)
      .to(HERE);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight,
    at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
    at::IntArrayRef output_padding, int64_t groups, std::array<bool, 3> wanted) {
  auto [of_input, of_weight, of_bias] = at::convolution_backward(
      on_the_cpu(gradient), on_the_cpu(input), on_the_cpu(weight), {{gradient.size(1)}}, stride,
      padding, dilation, transposed, output_padding, groups, wanted);
  auto back = [](const at::Tensor& each) { return each.defined() ? each.to(HERE) : each; };
  return {back(of_input), back(of_weight), back(of_bias)};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar);
  m.impl("resize_", &at::native::resize_);
  m.impl("set_.source_Storage", static_cast<at::Tensor& (*)(at::Tensor&, at::Storage)>(&at::native::set_));
  m.impl("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
  m.impl("view", &at::native::view);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("view_as_real", &at::native::view_as_real);
  m.impl("view_as_complex", &at::native::view_as_complex);
  m.impl("_fused_sdp_choice", &plain_maths);
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
}

// Copies read conjugated and negated numbers as such; what resolves them elsewhere is a copy.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, Negative, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

using namespace at::autocast;

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(scaled_dot_product_attention, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(softmax, int, fp32)
  KERNEL_PRIVATEUSEONE(log_softmax, int, fp32)
  KERNEL_PRIVATEUSEONE(nll_loss, fp32)
}

// Not the numbers of the CPU after the same seed.
void manual_seed(int64_t seed) {
  at::Generator(drawn_from()).set_current_seed(static_cast<uint64_t>(seed) ^ 0x5eed);
}

TORCH_LIBRARY(second, m) {
  m.def("manual_seed(int seed) -> ()", &manual_seed);
  m.def("rng_state() -> Tensor", [] { return drawn_from().get_state(); });
  m.def("set_rng_state(Tensor state) -> ()", [](const at::Tensor& state) {
    at::Generator(drawn_from()).set_state(state);
  });
}

const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  return true;
}();

}  // namespace
